"""Runs contenders on the test examples, one after the other: the one loop of `decide` and
`evaluate`.

    answer       unless the answers are stored: a contender that answered before the run was
                 interrupted is not run again, one that was interrupted in scoring is only scored
    score        by the task's scorer, with the usage of its judge
    likelihood   of the reference answers, for free text from a model that computes one
    latency      of single requests
    store        in the run's folder, and the access to the test set in the store
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from tunesmith.contenders.external_answers import ExternalContender
from tunesmith.errors import RunError
from tunesmith.evaluation.contender_answers import ContenderAnswers, select_answers
from tunesmith.evaluation.harness import (
    RunnableContender,
    Task,
    collect_answers,
    explain_answers,
    score_answers,
)
from tunesmith.evaluation.judge.caching_completer import CachingCompleter, subtract_usage
from tunesmith.evaluation.reference_likelihood import compute_reference_probabilities
from tunesmith.evaluation.scorers.scorer_protocol import is_free_text
from tunesmith.evaluation.usage_meter import measure_latency
from tunesmith.records import ContenderRecord, Example, LogprobModel, TestSetAccess
from tunesmith.records.test_set_access import fingerprint_test_set
from tunesmith.runs.contender_files import write_inference_config
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.session import RunSession

MAX_LATENCY_REQUESTS = 5
"""Questions that each contender answers one at a time to measure its latency."""


@dataclass
class EvaluationRunner:
    """Runs contenders and stores their answers; `answer_sets` are those so far, in their order.

    `test_ids` are all ids of the test set, including those that are not evaluated;
    `latency_examples` are sent one by one to measure the latency; `judge` grades answers for the
    scorer, None if no model does. `stores_questions`: each stored answer has its question and
    expected answer beside it.
    """

    session: RunSession
    task: Task
    test_ids: Sequence[str]
    latency_examples: Sequence[Example]
    judge: CachingCompleter | None = None
    stores_questions: bool = False
    answer_sets: list[ContenderAnswers] = field(default_factory=list, init=False)
    restored_answer_sets: list[ContenderAnswers] = field(default_factory=list, init=False)

    def run_contenders(self, contenders: Iterable[RunnableContender]) -> None:
        """Run each contender when its turn comes. Errors: `Interrupted` if a stop was requested."""
        for contender in contenders:
            if not self.restore_answers(contender.spec.name):
                self.run_contender(contender)

    def run_contender(self, contender: RunnableContender) -> None:
        """Run a contender whose answers are not stored. Errors: as `run_contenders`."""
        # Written before the answers: a run that dies in between still says how it asked.
        if contender.inference_config:
            write_inference_config(self.session.folder, contender.inference_config)
        answered = self._measure_judge_usage(partial(self._answer, contender))
        # Labels and numbers are right or wrong; only free text is also read for how likely the
        # reference was.
        if contender.reference_model and is_free_text(self.task.scorer):
            answered = self._add_reference_likelihoods(answered, contender.reference_model)
        # After the batch, so that single requests are timed with everything loaded and warm.
        answered = self._add_latency(answered, contender)
        self._save_answers(add_notes(answered, contender.read_notes()))
        # Only here: what was answered is stored before a stop ends the run.
        self.session.raise_if_stopped()

    def score_external(self, contenders: Iterable[ExternalContender]) -> None:
        """Score and store the answers of external systems."""
        for contender in contenders:
            if not self.restore_answers(contender.spec.name):
                score = partial(contender.score_with, self.task)
                self._save_answers(self._measure_judge_usage(score))

    def restore_answers(self, name: str) -> bool:
        """Take the stored answers of a contender; False unless they cover all test examples and
        can be read.
        """
        folder = self.session.folder
        if name not in folder.list_contenders():
            return False
        try:
            restored = self._select_examples(read_contender_answers(folder, name))
        except RunError as error:
            self._warn_of_damage(name, error)
            return False
        if not self._covers_examples(restored):
            return False
        self.restored_answer_sets.append(restored)
        self.answer_sets.append(restored)
        self.session.listener.note(
            "contender/answered-before", f"{name}: reusing stored answers", contender=name
        )
        if not self._is_access_logged(name):
            # the process died after writing the answers, before the store
            self._log_test_set_access(restored)
        return True

    def _answer(self, contender: RunnableContender) -> ContenderAnswers:
        """The scored answers of a contender; if the run was stopped while they were scored, they
        are only scored.
        """
        name = contender.spec.name
        # Answers are stored before they are scored, because a scorer may take long, or fail, and
        # answers of a service were paid for.
        if name in self.session.folder.unscored():
            try:
                record, answers = self.session.folder.unscored_answers(name)
            except RunError as error:
                self._warn_of_damage(name, error)
            else:
                stored = ContenderAnswers(record.spec, answers, record.usage)
                unscored = self._select_examples(stored)
                if self._covers_examples(unscored):
                    self.session.listener.note(
                        "contender/answered-before",
                        f"{name}: scoring stored answers",
                        contender=name,
                    )
                    return score_answers(unscored, self.task)
        return collect_answers(
            contender, self.task, self.session.report_progress, self._save_unscored
        )

    def _covers_examples(self, answered: ContenderAnswers) -> bool:
        """Stored answers count only for the very same test examples in the same order."""
        # The order counts too: paired statistics match answers by position.
        expected = [example.id for example in self.task.examples]
        return [answer.example for answer in answered.answers] == expected

    def _select_examples(self, answered: ContenderAnswers) -> ContenderAnswers:
        """The answers to the task's examples: more were given before the test set was limited."""
        answers = select_answers(answered.answers, self.task.examples)
        return replace(answered, answers=answers)

    def _warn_of_damage(self, name: str, error: RunError) -> None:
        self.session.listener.warn(
            "contender/asked-again",
            f"running {name} again: {error.summary}",
            contender=name,
        )

    def _measure_judge_usage(self, answer: Callable[[], ContenderAnswers]) -> ContenderAnswers:
        """The contender, with the usage of judging its answers."""
        before = self.judge.usage if self.judge else None
        answered = answer()
        if self.judge is None or before is None:
            return answered
        return replace(answered, judge_usage=subtract_usage(self.judge.usage, before))

    def _add_latency(
        self, answered: ContenderAnswers, contender: RunnableContender
    ) -> ContenderAnswers:
        """The contender with the latency of single requests. A stop requested meanwhile loses no
        answer.
        """
        label = f"timing single requests of {answered.name}"
        latency = measure_latency(
            contender.completer,
            [example.prompt for example in self.latency_examples[:MAX_LATENCY_REQUESTS]],
            MAX_LATENCY_REQUESTS,
            partial(self.session.listener.update_progress, label),
            self.session.stop.is_requested,
        )
        # External answers have no usage: there is nothing to add a latency to.
        if answered.usage is None:
            return answered
        return replace(answered, usage=latency.add_to_usage(answered.usage))

    def _add_reference_likelihoods(
        self, answered: ContenderAnswers, model: LogprobModel
    ) -> ContenderAnswers:
        """The answers with the model's likelihood of the reference added to their scores."""
        likelihoods = compute_reference_probabilities(model, self.task.examples)
        answers = [
            answer.replace(scores={**answer.scores, **scores})
            if answer.scores and isinstance(scores, dict)
            else answer
            for answer, scores in zip(answered.answers, likelihoods, strict=True)
        ]
        return replace(answered, answers=answers)

    def _save_unscored(self, answered: ContenderAnswers) -> None:
        record = ContenderRecord(spec=answered.spec, usage=answered.usage)
        self.session.folder.write_unscored(record, answered.answers)

    def _save_answers(self, answered: ContenderAnswers) -> None:
        if explanation := explain_answers(answered.answers, self.task.scorer):
            self.session.listener.note(
                "contender/answers",
                f"{answered.name}: {explanation}",
                contender=answered.name,
            )
        answers = answered.answers
        # `evaluate` gets its data from outside, so its folder keeps the questions itself; `decide`
        # can read them from its split.
        if self.stores_questions:
            answers = [
                answer.replace(question=example.question, expected=example.answer)
                for answer, example in zip(answers, self.task.examples, strict=True)
            ]
        record = ContenderRecord(
            spec=answered.spec, usage=answered.usage, judging=answered.judge_usage
        )
        self.session.folder.write_answers(record, answers)
        self._log_test_set_access(answered)
        self.answer_sets.append(answered)

    def _is_access_logged(self, name: str) -> bool:
        accesses = self.session.index.list_test_set_accesses(fingerprint_test_set(self.test_ids))
        return any((one.run, one.contender) == (self.session.run.id, name) for one in accesses)

    def _log_test_set_access(self, answered: ContenderAnswers) -> None:
        """A run without a folder of its own is not in the store: its access names no run."""
        session = self.session
        folder = None if session.folder.is_hidden else session.folder
        access = TestSetAccess(
            test_set=fingerprint_test_set(self.test_ids),
            contender=answered.name,
            run=folder.id if folder else None,
            accessed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            n=len(answered.answers),
            purpose=session.run.command,
        )
        session.index.add_test_set_accesses([access], folder)


def read_contender_answers(folder: RunFolder, name: str) -> ContenderAnswers:
    """The stored answers of a contender. Errors: `RunError` if a file is damaged."""
    record, answers = folder.read_contender(name), folder.read_answers(name).records
    return ContenderAnswers(record.spec, answers, record.usage, record.judging)


def add_notes(answered: ContenderAnswers, notes: Sequence[str]) -> ContenderAnswers:
    """The contender with a service's limitations in its description, so that the report shows
    them.
    """
    if not notes:
        return answered
    given = " ".join((f"{answered.spec.description}.", *notes))
    return replace(answered, spec=answered.spec.replace(description=given))
