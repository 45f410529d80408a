"""The table of contenders in the terminal: failed answers are counted where there are any, the
unknown is no zero."""

import pytest

from tests.decision.cases import contender, evaluation
from tunesmith.cli.decide import print_contenders, suggest_next_command


def test_failed_answers_are_counted_only_where_there_are_any(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = contender("zero-shot", 0.5)
    score = whole.metrics["exact"].model_copy(update={"n": 390, "n_failed": 10})
    print_contenders(
        evaluation(
            [whole.model_copy(update={"metrics": {"exact": score}}), contender("tuned", 0.8)]
        )
    )
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[-4:] == ["n", "failed", "s/request", "USD/1,000"]
    assert first.split()[-4:] == ["390", "10", "0.10", "0.0100"] and second.split()[-4:-2] == [
        "400",
        "0",
    ]
    print_contenders(evaluation([whole]))
    assert "failed" not in capsys.readouterr().out


def test_what_nobody_knows_is_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    print_contenders(evaluation([contender("outside", 0.5, name="old", usd=0.0, seconds=0.0)]))
    assert capsys.readouterr().out.splitlines()[1].split()[-2:] == ["unknown", "unknown"]


def test_nothing_scored_is_no_score_of_zero(capsys: pytest.CaptureFixture[str]) -> None:
    silent = contender("zero-shot", 0.0)
    score = silent.metrics["exact"].model_copy(update={"n": 0, "n_failed": 400})
    print_contenders(evaluation([silent.model_copy(update={"metrics": {"exact": score}})]))
    assert "no score" in capsys.readouterr().out


def test_the_command_after_a_verdict_uses_what_it_names() -> None:
    """A system that is kept runs elsewhere: chatting with a loser of the race is not what its owner
    wants."""
    assert suggest_next_command("rag", "rag", "runs/r") == ("chat", "runs/r")
    assert suggest_next_command("cannot tell", None, "runs/r") == ("chat", "runs/r")
    assert suggest_next_command("stop", None, "runs/r") == ("chat", "runs/r")
    assert suggest_next_command("stop", "mine", "runs/r") == ("runs",)
