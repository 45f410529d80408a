"""Measured pieces and counted work -> an estimate. Only arithmetic: nothing is measured or read here.

    tuning = steps * (tokens of a step * seconds of a token + optimizer) + looks + reference
    look   = validation tokens forward + answers generated             (none at the first look)

What came of past estimates on this machine corrects this one: the middle of actual / expected moves the expectation,
the extremes of it (and a tenth beyond) are the interval. Before there are any, the interval is a guess: `SPREAD`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Literal

from tunesmith.records import Estimate, Range, Recipe, Run
from tunesmith.records.estimate import exactly, scaled, total
from tunesmith.workflow.forecast_asking import Work, answering, asking, probing

if TYPE_CHECKING:
    from tunesmith.engine.pace import Prospect

How = Literal["quick", "measured"]
SPREAD = {"quick": (0.7, 1.7), "measured": (0.8, 1.4), "memory_bytes": (0.8, 1.3)}
RUNS_LEARNED_FROM = 5
MARGIN = 1.1


@dataclass(frozen=True)
class Lesson:
    """What past errors teach about one quantity: actual / expected, lowest, middle and highest."""

    low: float
    middle: float
    high: float
    runs: int = 0

    def applied(self, raw: Range) -> Range:
        """The quantity, corrected and with its interval."""
        return Range(low=raw.low * self.low, expected=raw.expected * self.middle, high=raw.high * self.high)

    def __str__(self) -> str:
        least, most = self.low * MARGIN, self.high / MARGIN
        return f"the last {self.runs} runs on this machine took {least:.2g} to {most:.2g} times that"


def forecast(prospect: "Prospect", work: Work, recipe: Recipe, past: Sequence[Run], how: How) -> Estimate:
    """Time, memory and money of the tuning, and what asking all contenders adds."""
    pace, training = prospect.pace, recipe.training
    lessons = {name: learned(past, name, how) for name in ("seconds", "memory_bytes")}
    step = prospect.tokens_per_step * pace.token_seconds + pace.update_seconds
    reading = (training.evaluations + 1) * prospect.look_tokens * pace.look_token_seconds
    answers = scaled(answering(prospect, work, len(work.answers), recipe), training.evaluations)
    looks = total([exactly(reading), answers])
    reference = prospect.reference_tokens * pace.look_token_seconds
    per_epoch = ceil(work.examples / training.batch_size)
    slower = lessons["seconds"].middle
    if training.minutes is None:
        steps = max(1, round((training.epochs or 1.0) * per_epoch))
        seconds = lessons["seconds"].applied(total([exactly(steps * step + reference), looks]))
    else:
        left = training.minutes * 60 - (looks.expected + reference) * slower
        steps = max(1, int(left / (step * slower)))
        seconds = total([exactly(training.minutes * 60), Range(low=0, expected=0, high=looks.high * slower)])
    deciding = total([asking(prospect, work, recipe), probing(prospect, work, recipe)])
    asked = lessons["seconds"].applied(deciding)
    per_second = recipe.machine_usd_per_hour / 3600
    return Estimate(
        how=how,
        steps=steps,
        tokens_read=round(work.tokens_read * steps / per_epoch),
        tokens_trained=round(work.tokens_trained * steps / per_epoch),
        tokens_computed=round(prospect.tokens_per_step * steps),
        plan=prospect.plan,
        seconds=seconds,
        parts={"steps": steps * step * slower, "looks": looks.expected * slower, "reference": reference * slower},
        asking_seconds=asked,
        memory_bytes=lessons["memory_bytes"].applied(exactly(prospect.base_bytes + pace.held_bytes)),
        usd=scaled(seconds, per_second),
        decide_usd=scaled(total([seconds, asked]), per_second),
        factors={name: lesson.middle for name, lesson in lessons.items()},
        assumptions=_assumptions(prospect, work, recipe, lessons, how),
    )


def learned(past: Sequence[Run], name: str, how: How) -> Lesson:
    """What the newest finished runs teach about "seconds" or "memory_bytes"."""
    ratios = [
        run.estimate_error[name] * run.estimate.factors.get(name, 1.0)
        for run in past
        if run.estimate is not None and run.estimate.how == how and name in run.estimate_error
    ][:RUNS_LEARNED_FROM]
    low, high = SPREAD["memory_bytes" if name == "memory_bytes" else how]
    if not ratios:
        return Lesson(low, 1.0, high)
    middle = median(ratios)
    if len(ratios) == 1:  # one run says where the middle is, not how wide the interval is
        return Lesson(low * middle, middle, high * middle, 1)
    return Lesson(min(ratios) / MARGIN, middle, max(ratios) * MARGIN, len(ratios))


def errors_of(run: Run) -> dict[str, float]:
    """Actual / expected of a finished run; {} where that says nothing. For a time budget: of the time of one step.

    A training that ended early says nothing about its time.
    """
    estimate, result = run.estimate, run.result
    if estimate is None or result is None or result.status != "finished" or run.resumed or not result.steps:
        return {}
    memory = {"memory_bytes": round(result.peak_memory_bytes / max(estimate.memory_bytes.expected, 1.0), 4)}
    if result.ended_early:
        return memory
    is_timed = result.planned_steps is None
    slower = estimate.steps / result.steps if is_timed else result.seconds / max(estimate.seconds.expected, 1e-9)
    return {"seconds": round(slower, 4), **memory}


def _assumptions(
    prospect: "Prospect", work: Work, recipe: Recipe, lessons: Mapping[str, Lesson], how: How
) -> tuple[str, ...]:
    source = "a few layers of the model with random weights" if how == "quick" else "steps of the whole model"
    said = [
        f"timed on this machine as busy as it was just now, with {source}",
        "all steps are like the first 16",
        "low and expected: answers are as long as the right ones; high: all go to the limit of "
        f"{work.longest:,} tokens",
        f"a machine hour costs {recipe.machine_usd_per_hour:g} USD (machine_usd_per_hour)",
        "reading and preparing the data and loading the model are not counted",
    ]
    if recipe.retrieval.documents is not None or recipe.evaluation.remote:
        said.append("what documents and remote models add to deciding is not counted")
    if recipe.training.patience is not None and recipe.training.patience < recipe.training.evaluations:
        said.append(f"it goes to its end: {recipe.training.patience} looks in a row without gain would end it earlier")
    if prospect.unshared:
        said.append(prospect.unshared)
    if prospect.plan.checkpointing:
        said.append("activations are computed twice (checkpointing), because memory is short")
    for name, word in (("seconds", "time"), ("memory_bytes", "memory")):
        lesson = lessons[name]
        said.append(
            f"{word}: {lesson}, which is counted in" if lesson.runs > 1
            else f"{word}: corrected by the one run before on this machine" if lesson.runs
            else f"{word}: no estimate of a finished run on this machine to learn from yet; the interval is a guess"
        )  # fmt: skip
    return tuple(said)
