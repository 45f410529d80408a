"""What a request costs on this machine follows from its work, not from how busy the machine was
just then."""

from pathlib import Path

import pytest

from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import Task, evaluate_answers
from tunesmith.evaluation.machine_time import estimate_seconds, fit_machine_time
from tunesmith.evaluation.scorers.normalized_match import ExactScorer
from tunesmith.evaluation.usage_meter import compute_waiting_fraction, read_scheduler_stats
from tunesmith.records import (
    Answer,
    ContenderSpec,
    Example,
    GenerationMode,
    Message,
    TokenPrice,
    Usage,
)

READ, WRITTEN = 0.002, 0.05
N = 20


def asked(
    name: str,
    kind: str,
    tokens_in: int,
    tokens_out: int,
    *,
    slowed: float = 1.0,
    shared: int = 0,
    way: GenerationMode = "written",
    waiting: float | None = None,
    price: TokenPrice | None = None,
) -> ContenderAnswers:
    """A contender whose requests take their work at the true rates, times `slowed`."""
    seconds = slowed * (READ * (tokens_in - shared) + WRITTEN * tokens_out)
    answers = [
        Answer(
            example=f"e{i}",
            text="a",
            scores={"exact": 1.0},
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            seconds=seconds,
            is_complete=True,
            tokens_shared=shared,
            mode=way,
        )
        for i in range(N)
    ]
    usage = Usage(
        requests=N, tokens_in=0, tokens_out=0, seconds=N * seconds, waiting_fraction=waiting
    )
    return ContenderAnswers(
        ContenderSpec(name=name, kind=kind, description="", token_price=price), answers, usage
    )


def task() -> Task:
    examples = [
        Example(line=i, messages=(Message("user", f"q{i}"), Message("assistant", "a")))
        for i in range(N)
    ]
    return Task("t", examples, ExactScorer(), "short answers", machine_usd_per_hour=3.6)


def with_ids(some: list[ContenderAnswers], of: Task) -> list[ContenderAnswers]:
    return [
        ContenderAnswers(
            one.spec,
            [
                a.model_copy(update={"example": e.id})
                for a, e in zip(one.answers, of.examples, strict=True)
            ],
            one.usage,
        )
        for one in some
    ]


def test_contenders_that_did_the_same_work_cost_the_same_however_busy_the_machine_was() -> None:
    of = task()
    some = [
        asked("zero-shot", "zero-shot", 40, 8),
        asked("rag", "rag", 221, 3, slowed=0.9),
        asked("tuned", "tuned", 40, 8, slowed=1.3),
        asked("tuned+rag", "tuned+rag", 221, 3, slowed=1.4),
    ]
    evaluation = evaluate_answers(with_ids(some, of), of)
    usd = {one.name: one.usd_per_1000 for one in evaluation.contenders}
    assert usd["rag"] == pytest.approx(usd["tuned+rag"]) and usd["zero-shot"] == pytest.approx(
        usd["tuned"]
    )
    times = {one.name: one.seconds_per_request for one in evaluation.contenders}
    assert times["tuned+rag"] == pytest.approx(
        times["rag"] * 1.4 / 0.9
    )  # what was measured stays what was measured


def test_true_rates_are_found_where_nothing_disturbs() -> None:
    some = [
        asked("zero-shot", "zero-shot", 40, 8),
        asked("few-shot", "few-shot", 400, 5, shared=300),
        asked("tuned", "tuned", 40, 2),
        asked("long", "zero-shot", 900, 1),
    ]
    machine = fit_machine_time(some)
    assert machine is not None
    assert machine.seconds == pytest.approx({"read": READ, "written": WRITTEN})
    assert machine.uncertainty == pytest.approx(1.96 * (2 * 0.1**2 / 4) ** 0.5)
    assert estimate_seconds(some[1], machine) == pytest.approx(N * (100 * READ + 5 * WRITTEN))


def test_a_beginning_that_several_prompts_share_is_paid_once() -> None:
    some = [
        asked("few-shot", "few-shot", 400, 5, shared=300),
        asked("zero-shot", "zero-shot", 100, 5),
    ]
    machine = fit_machine_time(some)
    assert machine is not None
    assert estimate_seconds(some[0], machine) == pytest.approx(estimate_seconds(some[1], machine))


def test_answers_picked_among_labels_have_a_rate_of_their_own() -> None:
    some = [
        asked("zero-shot", "zero-shot", 40, 8),
        asked("tuned", "tuned", 40, 8),
        asked("rag", "zero-shot", 200, 8),
        asked("zero-shot-constrained", "zero-shot", 40, 3, slowed=4.0, way="picked"),
    ]
    machine = fit_machine_time(some)
    assert machine is not None
    assert estimate_seconds(some[3], machine) == pytest.approx(N * 4.0 * (READ * 40 + WRITTEN * 3))
    assert estimate_seconds(some[0], machine) == pytest.approx(N * (READ * 40 + WRITTEN * 8))


def test_unlike_times_of_like_work_widen_the_uncertainty() -> None:
    quiet = fit_machine_time([asked("a", "zero-shot", 40, 8), asked("b", "tuned", 40, 8)])
    loud = fit_machine_time(
        [asked("a", "zero-shot", 40, 8), asked("b", "tuned", 40, 8, slowed=2.0)]
    )
    assert quiet is not None and loud is not None
    assert loud.uncertainty > 2 * quiet.uncertainty


def test_a_provider_and_another_system_say_nothing_of_this_machine() -> None:
    price = TokenPrice(usd_per_million_in=1, usd_per_million_out=1, source="s", date="2026-11-01")
    assert (
        fit_machine_time(
            [asked("far", "zero-shot", 40, 8, price=price), asked("mine", "outside", 40, 8)]
        )
        is None
    )


def test_a_machine_on_which_this_program_waited_for_a_core_was_busy() -> None:
    waits = [asked("a", "zero-shot", 40, 8, waiting=0.1), asked("b", "tuned", 40, 8, waiting=0.4)]
    machine = fit_machine_time(waits)
    assert (
        machine is not None and machine.waiting_fraction == pytest.approx(0.25) and machine.is_busy
    )
    calm = fit_machine_time([asked("a", "zero-shot", 40, 8, waiting=0.02)])
    assert calm is not None and not calm.is_busy
    unknown = fit_machine_time([asked("a", "zero-shot", 40, 8)])
    assert unknown is not None and unknown.waiting_fraction is None and not unknown.is_busy


def test_the_share_of_waiting_counts_every_thread_and_those_that_began_meanwhile(
    tmp_path: Path,
) -> None:
    for thread, text in {"7": "100 50 3", "8": "300 0 1", "9": "not counted"}.items():
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text)
    before = read_scheduler_stats(tmp_path)
    assert before == {"7": (100, 50), "8": (300, 0)}
    assert compute_waiting_fraction(before, {"7": (200, 150), "10": (100, 100)}) == pytest.approx(
        200 / 400
    )
    assert compute_waiting_fraction({}, {}) is None
