"""Every contender asked, one after the other, in a run's folder; every look at the test set is written in the store.

Whoever has answered already, before the run was cut short, is not asked again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from tunesmith.data.final_answer import final_answer
from tunesmith.data.label_set import label_set_of
from tunesmith.errors import RecipeError, RunError
from tunesmith.evaluation.evaluate import Asked, Entrant, Task, ask, explain_answers, score_answers
from tunesmith.evaluation.judge.counted import CountedCompleter, less
from tunesmith.evaluation.meter import measure_latency
from tunesmith.evaluation.outside import Outsider
from tunesmith.evaluation.scorers.function import FunctionScorer
from tunesmith.evaluation.scorers.reference_probability import likelihood_scores
from tunesmith.evaluation.scorers.scorer import Item, Scorer, Unscored
from tunesmith.records import Asking, Example, Likelihoods, Look, Message, TestExample, TestSet
from tunesmith.records.evaluation import parts_of
from tunesmith.records.look import name_of_test_set
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.prompts import write_serving
from tunesmith.runs.stop import Stop
from tunesmith.workflow.ending import interrupted
from tunesmith.workflow.forecast_asking import LATENCIES
from tunesmith.workflow.index import Index
from tunesmith.workflow.listener import Listener

FREE_TEXT = ("rouge-l", "chrf", "bleu", "similarity")
"""Scorers beside which the likelihood of the reference says something."""
TRIED = 8
"""Wanted answers on which a scorer of the user's own is tried before anything is spent."""


@dataclass
class Contest:
    """Asks contenders and keeps what they answered. `test_ids` are all of the test side, also those nobody is asked;
    `judge` is whoever marks answers for the scorer, None where no model does."""

    task: Task
    test_ids: Sequence[str]
    alone: Sequence[Example]
    folder: RunFolder
    index: Index
    listener: Listener
    stop: Stop
    judge: CountedCompleter | None = None
    asked: list[Asked] = field(default_factory=list, init=False)
    recalled: list[Asked] = field(default_factory=list, init=False)

    def ask(
        self, entrants: Iterable[Entrant], likelihoods: Likelihoods | None = None, notes: Sequence[str] = ()
    ) -> None:
        """Ask each when it is its turn; `likelihoods` is the model that the bare ones (zero-shot, tuned) are, `notes`
        what is to be told beside their answers, complete when they were asked.

        Errors: `Interrupted` when somebody asks to stop.
        """
        for entrant in entrants:
            if self._recall(entrant.profile.name):
                continue
            if entrant.serving:
                write_serving(self.folder, entrant.serving)
            one = self._judged(partial(self._answers, entrant))
            is_text = any(part in FREE_TEXT for part in parts_of(self.task.scorer.name))
            if likelihoods and one.name == one.profile.kind and is_text:
                one = self._with_probabilities(one, likelihoods)
            self._keep(with_notes(self._timed(one, entrant), notes))
            if self.stop.asked():
                raise interrupted(self.folder, self.stop.exit_code)

    def _answers(self, entrant: Entrant) -> Asked:
        """The scored answers of a contender. It is not asked again where the run was stopped while they were scored."""
        name = entrant.profile.name
        if name in self.folder.unscored():
            try:
                asking, answers = self.folder.unscored_answers(name)
            except RunError as error:
                self.listener.note(f"warning: {name} is asked again: {error.what} {error.found}")
            else:
                if [answer.example for answer in answers] == [example.id for example in self.task.examples]:
                    self.listener.note(f"{name} has answered already; its answers are scored")
                    return score_answers(Asked(asking.profile, answers, asking.usage), self.task)
        return ask_one(entrant, self.task, self.listener, self.stop, self.folder)

    def take(self, outsiders: Iterable[Outsider]) -> None:
        """Keep what other systems answered."""
        for outsider in outsiders:
            if not self._recall(outsider.profile.name):
                self._keep(self._judged(partial(outsider.scored, self.task)))

    def _judged(self, make: Callable[[], Asked]) -> Asked:
        return judged(make, self.judge)

    def _timed(self, one: Asked, entrant: Entrant) -> Asked:
        """The contender, with the wait for a single request. A stop that is asked for meanwhile loses no answer."""
        label = f"timing single requests of {one.name}"
        alone = measure_latency(
            entrant.completer, [example.prompt for example in self.alone[:LATENCIES]], LATENCIES,
            partial(self.listener.progress, label), self.stop.asked,
        )  # fmt: skip
        return replace(one, usage=alone.added_to(one.usage)) if one.usage else one

    def _recall(self, name: str) -> bool:
        """Take the stored answers of a contender, if there are some to all test examples and they can be read."""
        if name not in self.folder.contenders():
            return False
        try:
            answers, asking = self.folder.answers(name).records, self.folder.asking(name)
        except RunError as error:
            self.listener.note(f"warning: {name} is asked again: {error.what} {error.found}")
            return False
        if [answer.example for answer in answers] != [example.id for example in self.task.examples]:
            return False
        self.recalled.append(Asked(asking.profile, answers, asking.usage, asking.judging))
        self.asked.append(self.recalled[-1])
        self.listener.note(f"{name} has answered already")
        test = name_of_test_set(self.test_ids)
        if not any((look.run, look.contender) == (self.folder.id, name) for look in self.index.looks(test)):
            self._remember_look(self.recalled[-1])  # it was lost between the answers and the store
        return True

    def _with_probabilities(self, one: Asked, likelihoods: Likelihoods) -> Asked:
        """The scores of those that have some, and how likely the model finds the reference."""
        found = likelihood_scores(likelihoods, self.task.examples)
        answers = [
            answer.model_copy(update={"scores": {**answer.scores, **scores}})
            if answer.scores and isinstance(scores, dict)
            else answer
            for answer, scores in zip(one.answers, found, strict=True)
        ]
        return replace(one, answers=answers)

    def _keep(self, one: Asked) -> None:
        note_answers(one, self.task.scorer, self.listener)
        self.folder.write_answers(Asking(profile=one.profile, usage=one.usage, judging=one.judging), one.answers)
        self._remember_look(one)
        self.asked.append(one)

    def _remember_look(self, one: Asked) -> None:
        self.index.add_looks([look_of(self.test_ids, one, self.folder.id, "decide")], self.folder)


def note_answers(one: Asked, scorer: Scorer, listener: Listener) -> None:
    """Say how many answers are scored without the reasoning in them, were cut, or hold nothing to compare."""
    if told := explain_answers(one.answers, scorer):
        listener.note(f"{one.name}: of its answers {told}")


def with_notes(one: Asked, notes: Sequence[str]) -> Asked:
    """With what a service would not do, so that the report shows it."""
    if not notes:
        return one
    given = " ".join((f"{one.profile.given}.", *notes))
    return replace(one, profile=one.profile.model_copy(update={"given": given}))


def ask_one(entrant: Entrant, task: Task, listener: Listener, stop: Stop, folder: RunFolder | None) -> Asked:
    """Ask one contender; what it answered is kept before it is scored. Errors: `Interrupted` when asked to stop."""

    def tell(label: str, ready: int, wanted: int) -> None:
        listener.progress(label, ready, wanted)
        if stop.asked():
            raise interrupted(folder, stop.exit_code)

    def keep(answered: Asked) -> None:
        if folder is not None:
            asking = Asking(profile=answered.profile, usage=answered.usage)
            folder.write_unscored(asking, answered.answers)

    return ask(entrant, task, tell, keep)


def judged(make: Callable[[], Asked], judge: CountedCompleter | None) -> Asked:
    """The contender, with what judging its answers took."""
    before = judge.usage if judge else None
    made = make()
    return replace(made, judging=less(judge.usage, before)) if judge and before else made


def check_own_scorer(task: Task) -> None:
    """A function of the user's own that fails on the wanted answers themselves would find nothing to decide on.

    Errors: `RecipeError`.
    """
    if not isinstance(task.scorer, FunctionScorer):
        return
    found = task.scorer.score_items(
        [Item(final_answer(e.answer), final_answer(e.answer), e.question) for e in task.examples[:TRIED]]
    )
    faults = [one.why for one in found if isinstance(one, Unscored)]
    if len(faults) == len(found):
        raise RecipeError(
            "failing-scorer", f"Your scorer judges none of {len(found):,} wanted answers.", where="evaluation.scorer",
            found=faults[0], do="mend it: it is given the answer and the reference, here the same text twice",
        )  # fmt: skip


def look_of(test_ids: Sequence[str], one: Asked, run: str | None, why: str) -> Look:
    """That a contender's answers to this test set were scored just now."""
    return Look(
        test=name_of_test_set(test_ids),
        contender=one.name,
        run=run,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        n=len(one.answers),
        why=why,
    )


def test_set_of(task: Task, train_answers: Iterable[str]) -> TestSet:
    """What is kept of the task, so that the verdict can be made again from the answers."""
    labels = (
        label_set_of(list(map(final_answer, train_answers))).labels if "label" in parts_of(task.scorer.name) else ()
    )
    return TestSet(
        task=task.name,
        scorer=task.scorer.name,
        scorer_reason=task.scorer_reason,
        metric=task.scorer.metric,
        examples=tested_examples(task.examples),
        labels=tuple(labels),
        leaked=tuple(sorted(task.leaked)),
        machine_usd_per_hour=task.machine_usd_per_hour,
        seed=task.seed,
    )


def tested_examples(examples: Iterable[Example]) -> tuple[TestExample, ...]:
    """As much of the test examples as is kept."""
    return tuple(
        TestExample(
            id=one.id, question=one.question, answer=one.answer, group=one.group, line=one.line, origin=one.origin,
            prompt=() if one.prompt == (Message("user", one.question),) else one.prompt,
        )
        for one in examples
    )  # fmt: skip
