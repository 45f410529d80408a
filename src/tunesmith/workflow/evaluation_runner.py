"""Runs every contender, one after the other, in a run's folder; every access to the test set is
logged in the store.

A contender that answered before the run was interrupted is not run again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from tunesmith.contenders.external_answers import ExternalContender
from tunesmith.costs.evaluation_forecast import MAX_LATENCY_REQUESTS
from tunesmith.data.final_answer import extract_final_answer
from tunesmith.data.label_detection import build_label_set
from tunesmith.errors import RecipeError, RunError
from tunesmith.evaluation.contender_answers import ContenderAnswers, select_answers
from tunesmith.evaluation.harness import (
    RunnableContender,
    Task,
    collect_answers,
    explain_answers,
    score_answers,
)
from tunesmith.evaluation.judge.caching_completer import CachingCompleter, subtract_usage
from tunesmith.evaluation.scorers.function import FunctionScorer
from tunesmith.evaluation.scorers.reference_probability import score_references
from tunesmith.evaluation.scorers.scorer_protocol import Scorer, ScoringFailure, ScoringInput
from tunesmith.evaluation.usage_meter import measure_latency
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import (
    ContenderRecord,
    Example,
    LogprobModel,
    Message,
    TestExample,
    TestSet,
    TestSetAccess,
)
from tunesmith.records.evaluation import split_scorer_name
from tunesmith.records.test_set_access import fingerprint_test_set
from tunesmith.runs.contender_files import write_inference_config
from tunesmith.runs.interruption import build_interruption
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import StopSignal
from tunesmith.runs.store_index import StoreIndex

FREE_TEXT_SCORERS = ("rouge-l", "chrf", "bleu", "ter", "similarity")
"""Scorers for which the likelihood of the reference is informative."""
MAX_SCORER_TRIAL_EXAMPLES = 8
"""Expected answers on which a custom scorer is tried before money is spent."""


@dataclass
class EvaluationRunner:
    """Runs contenders and stores their answers.

    `test_ids` are all ids of the test split, including those that are not evaluated; `judge` grades
    answers for the scorer, None if no model does.
    """

    task: Task
    test_ids: Sequence[str]
    latency_examples: Sequence[Example]
    folder: RunFolder
    index: StoreIndex
    listener: ProgressListener
    stop: StopSignal
    judge: CachingCompleter | None = None
    answer_sets: list[ContenderAnswers] = field(default_factory=list, init=False)
    restored_answer_sets: list[ContenderAnswers] = field(default_factory=list, init=False)

    def run_contenders(
        self,
        contenders: Iterable[RunnableContender],
        likelihoods: LogprobModel | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Run each contender when its turn comes.

        `likelihoods` is the model of the plain contenders (zero-shot, tuned); `notes` are added to
        their descriptions, complete once all were run. Errors: `Interrupted` if a stop was
        requested.
        """
        for entrant in contenders:
            if self._restore_answers(entrant.spec.name):
                continue
            if entrant.inference_config:
                write_inference_config(self.folder, entrant.inference_config)
            one = self._measure_judge_usage(partial(self._answers, entrant))
            is_text = any(
                part in FREE_TEXT_SCORERS for part in split_scorer_name(self.task.scorer.name)
            )
            if likelihoods and is_text and one.spec.traits.has_reference_probability(one.name):
                one = self._add_reference_likelihoods(one, likelihoods)
            self._save_answers(with_notes(self._add_latency(one, entrant), notes))
            if self.stop.is_requested():
                raise build_interruption(self.folder, self.stop.exit_code)

    def _answers(self, entrant: RunnableContender) -> ContenderAnswers:
        """The scored answers of a contender; if the run was stopped while they were scored, they
        are only scored.
        """
        name = entrant.spec.name
        if name in self.folder.unscored():
            try:
                asking, stored = self.folder.unscored_answers(name)
            except RunError as error:
                self.listener.warn(
                    "contender/asked-again",
                    f"running {name} again: {error.what} {error.found}",
                    contender=name,
                )
            else:
                answers = select_answers(stored, self.task.examples)
                # Stored answers count only for the very same test examples in the same order.
                if [answer.example for answer in answers] == [
                    example.id for example in self.task.examples
                ]:
                    self.listener.note(
                        "contender/answered-before",
                        f"{name}: scoring stored answers",
                        contender=name,
                    )
                    return score_answers(
                        ContenderAnswers(asking.profile, answers, asking.usage), self.task
                    )
        return run_contender(entrant, self.task, self.listener, self.stop, self.folder)

    def add_external(self, external: Iterable[ExternalContender]) -> None:
        """Score and store the answers of external systems."""
        for outsider in external:
            if not self._restore_answers(outsider.spec.name):
                self._save_answers(
                    self._measure_judge_usage(partial(outsider.score_with, self.task))
                )

    def _measure_judge_usage(self, make: Callable[[], ContenderAnswers]) -> ContenderAnswers:
        return measure_judge_usage(make, self.judge)

    def _add_latency(self, one: ContenderAnswers, contender: RunnableContender) -> ContenderAnswers:
        """The contender with the latency of single requests. A stop requested meanwhile loses no
        answer.
        """
        label = f"timing single requests of {one.name}"
        alone = measure_latency(
            contender.completer,
            [example.prompt for example in self.latency_examples[:MAX_LATENCY_REQUESTS]],
            MAX_LATENCY_REQUESTS,
            partial(self.listener.update_progress, label),
            self.stop.is_requested,
        )
        return replace(one, usage=alone.add_to_usage(one.usage)) if one.usage else one

    def _restore_answers(self, name: str) -> bool:
        """Restore the stored answers of a contender; False unless they cover all test examples and
        can be read.
        """
        if name not in self.folder.list_contenders():
            return False
        try:
            stored, asking = (
                self.folder.read_answers(name).records,
                self.folder.read_contender(name),
            )
        except RunError as error:
            self.listener.warn(
                "contender/asked-again",
                f"running {name} again: {error.what} {error.found}",
                contender=name,
            )
            return False
        answers = select_answers(stored, self.task.examples)
        if [answer.example for answer in answers] != [example.id for example in self.task.examples]:
            return False
        self.restored_answer_sets.append(
            ContenderAnswers(asking.profile, answers, asking.usage, asking.judging)
        )
        self.answer_sets.append(self.restored_answer_sets[-1])
        self.listener.note(
            "contender/answered-before", f"{name}: reusing stored answers", contender=name
        )
        test = fingerprint_test_set(self.test_ids)
        if not any(
            (look.run, look.contender) == (self.folder.id, name)
            for look in self.index.list_test_set_accesses(test)
        ):
            # the process died after writing the answers, before the store
            self._log_test_set_access(self.restored_answer_sets[-1])
        return True

    def _add_reference_likelihoods(
        self, one: ContenderAnswers, likelihoods: LogprobModel
    ) -> ContenderAnswers:
        """The answers with the model's likelihood of the reference added to their scores."""
        found = score_references(likelihoods, self.task.examples)
        answers = [
            (
                answer.replace(scores={**answer.scores, **scores})
                if answer.scores and isinstance(scores, dict)
                else answer
            )
            for answer, scores in zip(one.answers, found, strict=True)
        ]
        return replace(one, answers=answers)

    def _save_answers(self, one: ContenderAnswers) -> None:
        report_answer_problems(one, self.task.scorer, self.listener)
        self.folder.write_answers(
            ContenderRecord(profile=one.spec, usage=one.usage, judging=one.judge_usage), one.answers
        )
        self._log_test_set_access(one)
        self.answer_sets.append(one)

    def _log_test_set_access(self, one: ContenderAnswers) -> None:
        self.index.add_test_set_accesses(
            [build_test_set_access(self.test_ids, one, self.folder.id, "decide")], self.folder
        )


def report_answer_problems(
    one: ContenderAnswers, scorer: Scorer, listener: ProgressListener
) -> None:
    """Note how many answers were scored without their reasoning, were truncated, or hold nothing to
    compare.
    """
    if told := explain_answers(one.answers, scorer):
        listener.note("contender/answers", f"{one.name}: {told}", contender=one.name)


def with_notes(one: ContenderAnswers, notes: Sequence[str]) -> ContenderAnswers:
    """The contender with a service's limitations in its description, so that the report shows
    them.
    """
    if not notes:
        return one
    given = " ".join((f"{one.spec.given}.", *notes))
    return replace(one, spec=one.spec.replace(given=given))


def run_contender(
    contender: RunnableContender,
    task: Task,
    listener: ProgressListener,
    stop: StopSignal,
    folder: RunFolder | None,
) -> ContenderAnswers:
    """Run one contender; its answers are stored before they are scored. Errors: `Interrupted` if a
    stop was requested.
    """

    def report_progress(label: str, ready: int, wanted: int) -> None:
        listener.update_progress(label, ready, wanted)
        if stop.is_requested():
            raise build_interruption(folder, stop.exit_code)

    def keep(answered: ContenderAnswers) -> None:
        if folder is not None:
            asking = ContenderRecord(profile=answered.spec, usage=answered.usage)
            folder.write_unscored(asking, answered.answers)

    return collect_answers(contender, task, report_progress, keep)


def measure_judge_usage(
    make: Callable[[], ContenderAnswers], judge: CachingCompleter | None
) -> ContenderAnswers:
    """The contender, with the usage of judging its answers."""
    before = judge.usage if judge else None
    made = make()
    return (
        replace(made, judge_usage=subtract_usage(judge.usage, before)) if judge and before else made
    )


def check_custom_scorer(task: Task) -> None:
    """Reject a custom scorer that fails on the expected answers themselves: it could not decide
    anything.

    Errors: `RecipeError`.
    """
    if not isinstance(task.scorer, FunctionScorer):
        return
    found = task.scorer.score_items(
        [
            ScoringInput(extract_final_answer(e.answer), extract_final_answer(e.answer), e.question)
            for e in task.examples[:MAX_SCORER_TRIAL_EXAMPLES]
        ]
    )
    faults = [one.reason for one in found if isinstance(one, ScoringFailure)]
    if len(faults) == len(found):
        raise RecipeError(
            "failing-scorer",
            f"scorer failed on all {len(found):,} reference answers",
            where="evaluation.scorer",
            found=faults[0],
            do="fix the scorer; it is called with an answer and a reference, here the same text "
            "twice",
        )


def build_test_set_access(
    test_ids: Sequence[str], one: ContenderAnswers, run: str | None, why: str
) -> TestSetAccess:
    """The record that a contender's answers to this test set were scored just now."""
    return TestSetAccess(
        test=fingerprint_test_set(test_ids),
        contender=one.name,
        run=run,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        n=len(one.answers),
        why=why,
    )


def build_test_set(task: Task, train_answers: Iterable[str]) -> TestSet:
    """The stored part of the task, from which the verdict can be recomputed."""
    labels = (
        build_label_set(list(map(extract_final_answer, train_answers))).labels
        if "label" in split_scorer_name(task.scorer.name)
        else ()
    )
    return TestSet(
        task=task.name,
        scorer=task.scorer.name,
        scorer_reason=task.scorer_reason,
        metric=task.scorer.metric,
        examples=build_test_examples(task.examples),
        labels=tuple(labels),
        leaked=tuple(sorted(task.contaminated_ids)),
        machine_usd_per_hour=task.machine_usd_per_hour,
        seed=task.seed,
    )


def build_test_examples(examples: Iterable[Example]) -> tuple[TestExample, ...]:
    """The stored part of the test examples."""
    return tuple(
        TestExample(
            id=one.id,
            question=one.question,
            answer=one.answer,
            group=one.group,
            line=one.line,
            origin=one.origin,
            # Empty for a plain question, which `question` already holds.
            prompt=() if one.prompt == (Message("user", one.question),) else one.prompt,
        )
        for one in examples
    )
