"""The one loop of `decide` and `evaluate`: what is asked, measured, stored, and taken up again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tunesmith.contenders.evaluation_runner import MAX_LATENCY_REQUESTS, EvaluationRunner
from tunesmith.errors import Interrupted
from tunesmith.evaluation.harness import RunnableContender, Task
from tunesmith.evaluation.judge.caching_completer import CachingCompleter
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, Scorer
from tunesmith.evaluation.scorers.scorer_registry import build_scorer
from tunesmith.progress_listener import NULL_LISTENER
from tunesmith.providers.fake_completer import FakeCompleter
from tunesmith.records import (
    AnswerLogprob,
    ContenderSpec,
    Example,
    LogprobModel,
    Machine,
    Message,
    ProgressCallback,
    Prompt,
    Recipe,
    Run,
)
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.session import RunSession, begin_run
from tunesmith.runs.store_index import StoreIndex
from tunesmith.store.store import Store

EXAMPLES = [
    Example(line, (Message("user", f"{line} ?"), Message("assistant", str(line))))
    for line in range(8)
]
TESTED, UNUSED = EXAMPLES[:6], EXAMPLES[6:]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNESMITH_STORE", raising=False)


def build_run(folder: RunFolder) -> Run:
    folder.write_recipe(Recipe())
    machine = Machine(platform="x", processor="x", cores=1, memory_bytes=1, accelerator=None)
    return Run(
        id=folder.id,
        created="2026-11-30T10:00:00.000",
        status="running",
        recipe="r",
        dataset="d",
        split="s",
        machine=machine,
        versions={},
        seeds={},
        command="evaluate",
    )


@pytest.fixture
def session(tmp_path: Path) -> Iterator[RunSession]:
    with (
        StoreIndex.open() as index,
        begin_run(tmp_path / "runs", "words", index, NULL_LISTENER, build_run) as session,
    ):
        yield session


def build_runner(
    session: RunSession,
    scorer: Scorer | None = None,
    judge: CachingCompleter | None = None,
    *,
    stores_questions: bool = False,
) -> EvaluationRunner:
    task = Task("sums", TESTED, scorer or build_scorer("exact", ["1"]), "", 0.0)
    ids = [example.id for example in EXAMPLES]
    return EvaluationRunner(session, task, ids, UNUSED, judge, stores_questions=stores_questions)


class Asked:
    """A contender that answers with the question's number, and the prompts that it got."""

    def __init__(
        self,
        name: str,
        reference_model: LogprobModel | None = None,
        read_notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.prompts: list[Prompt] = []
        self.contender = RunnableContender(
            ContenderSpec(name=name, kind="zero-shot", description="the question"),
            FakeCompleter(self.answer),
            reference_model=reference_model,
            read_notes=read_notes,
        )

    def answer(self, prompt: Prompt) -> str:
        self.prompts.append(prompt)
        return prompt[-1].content.split()[0]


def test_a_contender_is_asked_scored_timed_and_stored(session: RunSession) -> None:
    runner, tiny = build_runner(session), Asked("tiny")
    runner.run_contenders([tiny.contender])
    (answered,) = runner.answer_sets
    assert [one.scores for one in answered.answers] == [{"exact": 1.0}] * 6
    # The latency is measured with questions that are not scored; there are two of them.
    assert tiny.prompts == [one.prompt for one in (*TESTED, *UNUSED)]
    assert answered.usage is not None and answered.usage.requests == 8
    stored = session.folder.read_contender("tiny")
    assert stored.usage == answered.usage and stored.judging is None
    assert [one.question for one in session.folder.read_answers("tiny").records] == [None] * 6
    assert session.folder.unscored() == ()
    with Store.open() as store:
        (access,) = store.list_runs()
        assert access.folder == str(session.folder.path)


def test_no_more_than_five_single_requests_are_sent(session: RunSession) -> None:
    runner, tiny = build_runner(session), Asked("tiny")
    runner.latency_examples = EXAMPLES * 2
    runner.run_contenders([tiny.contender])
    assert len(tiny.prompts) == len(TESTED) + MAX_LATENCY_REQUESTS == 11


def test_stored_answers_have_their_questions_if_the_file_is_read_by_itself(
    session: RunSession,
) -> None:
    build_runner(session, stores_questions=True).run_contenders([Asked("tiny").contender])
    stored = session.folder.read_answers("tiny").records
    assert [(one.question, one.expected) for one in stored] == [
        (one.question, one.answer) for one in TESTED
    ]


def test_a_contender_that_has_answered_is_not_asked_again(session: RunSession) -> None:
    build_runner(session).run_contenders([Asked("tiny").contender])
    again, tiny = build_runner(session), Asked("tiny")
    again.run_contenders([tiny.contender])
    assert tiny.prompts == []
    assert again.answer_sets == again.restored_answer_sets and len(again.answer_sets) == 1


def test_answers_to_other_examples_are_not_taken(session: RunSession) -> None:
    build_runner(session).run_contenders([Asked("tiny").contender])
    other, tiny = build_runner(session), Asked("tiny")
    other.task = Task("sums", EXAMPLES[2:], build_scorer("exact", ["1"]), "", 0.0)
    other.run_contenders([tiny.contender])
    assert len(tiny.prompts) == 8 and other.restored_answer_sets == []


class FailingScorer:
    """Fails on its first call, so that the answers stay unscored."""

    name = "exact"
    metric = "exact"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        raise RuntimeError("the test ends it here")


def test_answers_that_were_not_scored_are_only_scored(session: RunSession) -> None:
    with pytest.raises(RuntimeError, match="ends it here"):
        build_runner(session, FailingScorer()).run_contenders([Asked("tiny").contender])
    assert session.folder.unscored() == ("tiny",)
    again, tiny = build_runner(session), Asked("tiny")
    again.run_contenders([tiny.contender])
    assert tiny.prompts == [one.prompt for one in UNUSED], "only the latency is measured"
    assert [one.scores for one in again.answer_sets[0].answers] == [{"exact": 1.0}] * 6


class HalfSure:
    """A model that gives every reference the same likelihood."""

    def compute_logprobs(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        progress: ProgressCallback | None = None,
    ) -> list[AnswerLogprob]:
        return [AnswerLogprob(0.0, 1) for _ in answers]


@pytest.mark.parametrize(("scorer", "is_added"), [("rouge-l", True), ("exact", False)])
def test_the_likelihood_of_references_is_added_for_free_text(
    session: RunSession, scorer: str, is_added: bool
) -> None:
    runner = build_runner(session, build_scorer(scorer, ["1", "2"]))
    runner.run_contenders([Asked("tiny", HalfSure()).contender, Asked("far").contender])
    tiny, far = runner.answer_sets
    assert all(("reference_probability" in one.scores) == is_added for one in tiny.answers)
    assert not any("reference_probability" in one.scores for one in far.answers)


def test_notes_of_a_service_are_read_after_it_was_asked(session: RunSession) -> None:
    notes: list[str] = []

    def answer_with_note() -> Sequence[str]:
        return tuple(notes)

    far = Asked("far", read_notes=answer_with_note)
    runner = build_runner(session)
    notes.append("It cut a question.")
    runner.run_contenders([far.contender])
    assert runner.answer_sets[0].spec.description == "the question. It cut a question."


def test_a_stop_is_noticed_after_the_answers_are_stored(session: RunSession) -> None:
    runner, tiny, later = build_runner(session), Asked("tiny"), Asked("later")
    runner.run_contenders([tiny.contender])
    session.stop.signal = "SIGINT"
    with pytest.raises(Interrupted, match="the answers of tiny"):
        runner.run_contenders([later.contender])
    assert len(later.prompts) == 1, "it is noticed with the first answer"
    session.stop.signal = None
