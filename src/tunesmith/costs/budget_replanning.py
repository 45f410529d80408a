"""A decision within its time: what is left to do is planned again from what the steps really took.

    needed = rest of the contenders + general ability + tuning + ending
    rest of a kind = ratio * its expected seconds - the seconds that it took so far

`ratio` is actual / expected of the kinds that are finished; a tuned contender is expected to be as
much slower as its untuned counterpart was. After each contender `needed` is compared with the time
that is left:

- A choice on validation examples ends when its part of the time is over; the best so far is taken.
- Where that is not enough, fewer test examples are used. What was answered has no part in that: the
  examples are those with the first ids (hashes of their content) as before, their number follows
  from the seconds of whole contenders alone, and every contender, also one that answered earlier,
  is compared on the same examples. So they are as fair a sample as the planned ones
  (docs/decisions/130).
- The minutes of tuning are set when all untuned contenders are finished.
- A contender that still does not fit, other than the bare model before and after tuning, is left
  out as a whole.

Only keys that the user left open change. Each change is reported and stored (`BudgetPlan`), so an
interrupted decision continues with the same numbers; the time between its sessions does not count.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import floor, inf
from typing import Protocol

from tunesmith.contenders.candidate_selection import UnlimitedPacer
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import BudgetChange, BudgetPlan
from tunesmith.records.contender_kinds import get_contender_kind, list_contender_kinds
from tunesmith.records.quantity import format_duration
from tunesmith.runs.run_folder import RunFolder

MINUTES, TEST_LIMIT = "training.minutes", "evaluation.max_test_examples"
MIN_MINUTES = 0.1
"""The least training time, in minutes."""
MIN_TEST_EXAMPLES = 24
"""The fewest test examples, as in the least thorough level of `workflow/time_budget.py`."""
MIN_CHOICE_SHARE = 0.25
"""The share of the expected choices that is kept before test examples are given up."""
RESERVE = 1.1
"""Factor on what is expected after the tuning: time given to tuning cannot be taken back."""
MAX_RATIO = 20.0
"""A larger ratio of actual to expected seconds counts as this one."""


@dataclass
class BudgetClock:
    """Seconds of a budget, over all sessions of a run. `now` is a clock in seconds."""

    budget_seconds: float
    now: Callable[[], float] = time.monotonic
    earlier_seconds: float = 0.0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def spent(self) -> float:
        """Seconds spent so far."""
        return self.earlier_seconds + self.now() - self.began

    @property
    def left(self) -> float:
        """Seconds left; negative once the time is over."""
        return self.budget_seconds - self.spent


class DecisionPacer(Protocol):
    """What the steps of a decision report to, and ask, about time."""

    def start_choice(self, kind: str) -> Callable[[], bool]:
        """As `ChoicePacer`."""
        ...

    def record_shortened(self, what: str, done: float) -> None:
        """As `ChoicePacer`."""
        ...

    def pace(self, contenders: Iterable[RunnableContender]) -> Iterator[RunnableContender]:
        """The contenders that are to be asked."""
        ...

    def record_probe(self) -> None:
        """General ability was just measured."""
        ...

    def choose_training_minutes(self) -> float | None:
        """The minutes of tuning; None where they stay as they are."""
        ...

    def finish_training(self) -> None:
        """The tuning is over."""
        ...


class UnlimitedTime(UnlimitedPacer):
    """A decision without a time: nothing is planned again."""

    def pace(self, contenders: Iterable[RunnableContender]) -> Iterator[RunnableContender]:
        """All of them."""
        return iter(contenders)

    def record_probe(self) -> None:
        """Nothing follows from it."""

    def choose_training_minutes(self) -> float | None:
        """They stay as they are."""
        return None

    def finish_training(self) -> None:
        """Nothing follows from it."""


class BudgetReplanner:
    """Plans the rest of a decision again. `limit_tests` receives the number of test examples when
    it is smaller than planned. `is_tuned`: an earlier session finished the tuning.
    """

    def __init__(
        self,
        plan: BudgetPlan,
        clock: BudgetClock,
        folder: RunFolder,
        listener: ProgressListener,
        limit_tests: Callable[[int], None],
        *,
        is_tuned: bool = False,
    ) -> None:
        self.plan, self.clock = plan, clock
        self._folder, self._listener, self._limit_tests = folder, listener, limit_tests
        self._finished: set[str] = set()
        self._choices_made: dict[str, int] = {}
        self._probes_left = 2 if plan.probe_seconds else 0
        self._probe_seconds = plan.probe_seconds
        # What is still to be spent: nothing if an earlier session finished the tuning.
        self._training_seconds = 0.0 if is_tuned else plan.training_seconds
        self._answered = frozenset(folder.list_contenders())
        self._is_pacing, self._last_step = False, "the start"
        self._choice_kind, self._choice_began = "", clock.spent
        self._seen_ratios: dict[str, float] = {}
        self._mark = clock.spent
        if self.test_size < plan.test_examples:  # the session that was interrupted had set it
            limit_tests(self.test_size)

    @property
    def test_size(self) -> int:
        """The number of test examples now."""
        return int(self.plan.find_value(TEST_LIMIT) or self.plan.test_examples)

    def pace(self, contenders: Iterable[RunnableContender]) -> Iterator[RunnableContender]:
        """The contenders, with the rest planned again before each is asked. The caller asks each
        one before it takes the next.
        """
        self._is_pacing, self._mark = True, self.clock.spent
        try:
            for contender in contenders:
                kind = contender.spec.kind
                # Contenders come simplest first, so every simpler kind is done by now.
                self._finish_simpler_kinds(kind)
                # Restored from an earlier session, in which its time was recorded.
                if contender.spec.name in self._answered:
                    yield contender
                    self._mark = self.clock.spent
                    continue
                self._record_time(kind)  # what its choice took
                self._replan()
                if self._must_leave_out(contender):
                    continue
                yield contender
                self._record_time(kind)
                self._last_step = contender.spec.name
                self._save()
        finally:
            self._is_pacing = False

    def start_choice(self, kind: str) -> Callable[[], bool]:
        """As `ChoicePacer`; the models of services are not limited, their time is not foreseen."""
        if not self._is_pacing:
            return lambda: False
        self._choice_kind, self._choice_began = kind, self.clock.spent
        end = self._choice_began + self._compute_choice_seconds(kind)
        return lambda: self.clock.spent >= end

    def record_shortened(self, what: str, done: float) -> None:
        """As `ChoicePacer`. How far it came says how slow its kind is."""
        work, took = self.plan.work.get(self._choice_kind), self.clock.spent - self._choice_began
        if work is not None and done > 0 and work.choice_seconds > 0:
            # The share that was done, not the whole choice: a kind that was cut at a tenth after
            # its full time is ten times slower than expected.
            ratio = took / (done * work.choice_seconds / max(1, work.choices))
            self._seen_ratios[self._choice_kind] = ratio
        self._save(shortened=(*self.plan.shortened, what))

    def record_probe(self) -> None:
        """General ability was just measured; the other time is expected to take as long."""
        took = self.clock.spent - self._mark
        if took > self.plan.probe_seconds / 20:  # it was not restored from an earlier session
            self._probe_seconds = took
        # General ability is measured twice: before tuning and after it.
        self._probes_left = min(self._probes_left, 1)
        self._mark = self.clock.spent

    def choose_training_minutes(self) -> float | None:
        """The minutes that the rest of the time admits, at most those of the default passes; None
        if the user set the length of the tuning.
        """
        self._finished |= {one.name for one in list_contender_kinds() if not one.is_trained}
        if MINUTES not in self.plan.open_keys:
            return None
        if (chosen := self.plan.find_value(MINUTES)) is not None:
            return float(chosen)  # by the session that was interrupted
        reserve = RESERVE * self._sum_rest(training=0.0)
        # At most the default number of passes: time that is left over is no reason to overfit.
        seconds = min(self.clock.left - reserve, self.plan.max_training_seconds)
        # Rounded down to hundredths of a minute, so that the recipe shows what was used.
        minutes = max(MIN_MINUTES, floor(seconds / 0.6) / 100)
        self._change(
            MINUTES,
            self.plan.training_minutes,
            minutes,
            "the baselines",
            f"{_format_left(self.clock)} left, of which the answers of the tuned model and the "
            f"remaining steps need {format_duration(reserve)}",
        )
        self._training_seconds = 60 * minutes
        if self._training_seconds < self.plan.pass_seconds:
            self._listener.warn(
                "budget/no-full-pass",
                f"one epoch ({format_duration(self.plan.pass_seconds)}) does not fit into the "
                "remaining time: the verdict will not cover fine-tuning",
            )
        return minutes

    def finish_training(self) -> None:
        """The tuning is over."""
        self._training_seconds, self._last_step = 0.0, "tuning"
        self._save()

    def _compute_choice_seconds(self, kind: str) -> float:
        """Seconds for the next choice for this kind, at least 0."""
        expected = self._sum_choices()
        free = self.clock.left - self._sum_rest(training=self._training_seconds, choices=0.0)
        if free < expected:  # better to tune less than to choose on too few examples
            spare = self._training_seconds - self._get_least_training_seconds()
            free = min(expected, free + spare)
        made = self._choices_made.get(kind, 0)
        self._choices_made[kind] = made + 1
        # A kind that was not foreseen (of a plugin, a service) is not limited by a guess.
        if kind not in self.plan.work:
            return inf
        share = self._get_rest_choice_seconds(kind) / expected if expected > 0 else 1.0
        return max(0.0, free * share / max(1, self.plan.work[kind].choices - made))

    def _replan(self) -> None:
        """Use fewer test examples if the rest does not fit, and store the time spent."""
        least = self._get_least_training_seconds()
        fixed = self._sum_rest(training=least, choices=MIN_CHOICE_SHARE, tests=0.0)
        tests, size = self._sum_tests(), self.test_size
        if tests > 0 and fixed + tests > self.clock.left and TEST_LIMIT in self.plan.open_keys:
            # From the clock alone, never from scores: a size chosen after looking at answers would
            # bias the verdict (docs/decisions/130).
            fits = floor(size * (self.clock.left - fixed) / tests)
            size = min(size, max(fits, MIN_TEST_EXAMPLES))
        if size < self.test_size:
            self._change(
                TEST_LIMIT,
                self.plan.find_value(TEST_LIMIT) or self.plan.test_limit,
                size,
                self._last_step,
                f"the rest would take {format_duration(fixed + tests)}, and "
                f"{_format_left(self.clock)} left; all contenders are compared on these examples",
            )
            self._limit_tests(size)
        self._save()

    def _must_leave_out(self, contender: RunnableContender) -> bool:
        work = self.plan.work.get(contender.spec.kind)
        # The bare models always answer: without them there is nothing to compare with.
        if work is None or _is_bare(contender):
            return False
        needed = self._get_ratio(contender.spec.kind) * work.test_seconds * self._test_share
        if needed + min(self._training_seconds, MIN_MINUTES * 60) <= max(0.0, self.clock.left):
            return False
        self._listener.warn(
            "budget/left-out",
            f"skipping {contender.spec.name}: its answers would take "
            f"{format_duration(needed)}, and {_format_left(self.clock)} left",
            contender=contender.spec.name,
        )
        self._save(left_out=(*self.plan.left_out, contender.spec.name))
        return True

    def _record_time(self, kind: str) -> None:
        took = self.clock.spent - self._mark
        self._mark = self.clock.spent
        spent = self.plan.spent_by_kind
        self.plan = self.plan.replace(spent_by_kind={**spent, kind: spent.get(kind, 0.0) + took})

    def _finish_simpler_kinds(self, kind: str) -> None:
        rank = get_contender_kind(kind).rank
        self._finished |= {one.name for one in list_contender_kinds() if one.rank < rank}

    def _get_least_training_seconds(self) -> float:
        is_open = MINUTES in self.plan.open_keys
        return min(self._training_seconds, self.plan.pass_seconds if is_open else inf)

    def _get_ratio(self, kind: str) -> float:
        """Actual / expected seconds that a kind is expected to have."""
        spent, work = self.plan.spent_by_kind, self.plan.work
        # A kind that takes longer than expected counts before it is finished.
        known = [
            one for one in work if one in self._finished or spent.get(one, 0.0) > work[one].seconds
        ]
        counterpart = _find_counterpart(kind)
        kinds = [counterpart] if counterpart in known else known
        # The base model's kind tells most about the tuned model's; else all that is known does.
        expected = sum(work[one].seconds for one in kinds)
        actual = sum(spent.get(one, 0.0) for one in kinds)
        ratio = actual / expected if expected > 0 and actual > 0 else 1.0
        return min(MAX_RATIO, max(ratio, self._seen_ratios.get(kind, 0.0)))

    @property
    def _test_share(self) -> float:
        return self.test_size / max(1, self.plan.test_examples)

    def _get_rest(self, kind: str) -> float:
        """`_get_ratio` times the share of a kind's work that is still to be done."""
        if kind in self._finished:
            return 0.0
        ratio, expected = self._get_ratio(kind), self.plan.work[kind].seconds
        done = self.plan.spent_by_kind.get(kind, 0.0) / (ratio * expected) if expected else 1.0
        return ratio * max(0.0, 1.0 - done)

    def _get_rest_choice_seconds(self, kind: str) -> float:
        return self._get_rest(kind) * self.plan.work[kind].choice_seconds

    def _sum_choices(self) -> float:
        return sum(map(self._get_rest_choice_seconds, self.plan.work))

    def _sum_tests(self) -> float:
        rest = sum(self._get_rest(kind) * one.test_seconds for kind, one in self.plan.work.items())
        return self._test_share * rest

    def _sum_rest(self, *, training: float, choices: float = 1.0, tests: float = 1.0) -> float:
        """Expected seconds of everything still to be done; `choices` and `tests` are the shares of
        them that are counted.
        """
        ending = self.plan.ending_seconds * self._get_ratio("")
        return (
            training
            + self._probes_left * self._probe_seconds
            + ending
            + choices * self._sum_choices()
            + tests * self._sum_tests()
        )

    def _change(
        self, key: str, before: float | int | None, value: float | int, after: str, reason: str
    ) -> None:
        if before == value:
            return
        change = BudgetChange(
            key=key,
            before=before,
            value=value,
            after=after,
            spent_seconds=round(self.clock.spent, 3),
            reason=reason,
        )
        self._save(changes=(*self.plan.changes, change))
        was = "" if before is None else f" (was {before:g})"
        self._listener.note(
            "budget/planned-again",
            f"new plan after {after}: {key} {value:g}{was}; {reason}",
            key=key,
            value=value,
        )

    def _save(self, **changes: object) -> None:
        self.plan = self.plan.replace(spent_seconds=round(self.clock.spent, 3), **changes)
        self._folder.write(self.plan)


def _is_bare(contender: RunnableContender) -> bool:
    """Whether it is the bare model before or after tuning, which is never left out."""
    traits = contender.spec.traits
    if traits.uses_retrieval or traits.shows_examples or not traits.contenders:
        return False
    return contender.spec.name in traits.contenders[0].names


def _find_counterpart(kind: str) -> str:
    """The untuned kind that does the same as a tuned one; "" for any other kind."""
    kinds = list_contender_kinds()
    tuned = next((one for one in kinds if one.name == kind and one.is_trained), None)
    same = (
        one.name
        for one in kinds
        if tuned is not None
        and not (one.is_trained or one.is_external or one.shows_examples)
        and one.uses_retrieval == tuned.uses_retrieval
    )
    return next(same, "")


def _format_left(clock: BudgetClock) -> str:
    return f"{format_duration(max(0.0, clock.left))} are"
