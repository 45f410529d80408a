"""The sections on forgetting and on errors: complete, escaped, and absent where there is
nothing."""

import re
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from tunesmith.records import (
    AbilityChange,
    Analysis,
    ErrorGroup,
    Failure,
    Forgetting,
    LabelIssue,
    Neighbor,
    Quantity,
    Regression,
    Suggestion,
)
from tunesmith.records.quantity import format_percent, format_points_number
from tunesmith.report.html import _finalize, keep_together

EVIL = "<script>alert(1)</script>\u202e"


def share(value: float) -> Quantity:
    return Quantity(value=value, low=value - 0.1, high=value + 0.1, n=40)


def forgetting() -> Forgetting:
    change = AbilityChange(
        kind="fact", before=share(0.6), after=share(0.5), drop=share(0.1), p=0.04
    )
    lapse = Regression(item="fact-01", kind="fact", prompt="What?", before="Paris", after=EVIL)
    return Forgetting(
        before=share(0.6),
        after=share(0.5),
        drop=share(0.1),
        p=0.1,
        lost=7,
        gained=3,
        kinds=(change,),
        regressions=(lapse,),
    )


def failures(near: Neighbor) -> tuple[Failure, ...]:
    return (
        Failure(
            example="a",
            outcome="wrong",
            score=0.0,
            expected="refund",
            predicted=EVIL,
            neighbors=(near,),
            neighbors_with_reference=0,
            neighbors_with_prediction=1,
        ),
        Failure(
            example="c",
            outcome="no answer",
            score=None,
            expected="x",
            predicted="",
            neighbors=(),
            neighbors_with_reference=0,
            neighbors_with_prediction=0,
        ),
    )


def analysis() -> Analysis:
    near = Neighbor(example="b", line=7, question=EVIL, answer="return")
    group: dict[str, Any] = {
        "errors": 3,
        "n": 9,
        "fraction": 0.5,
        "rate": share(0.33),
        "examples": ("a",),
    }
    return Analysis(
        contender="tuned",
        metric="accuracy",
        min_correct_score=1.0,
        n=40,
        n_wrong=6,
        n_unanswered=1,
        groups=(
            ErrorGroup(
                by="labels",
                name=f"refund → {EVIL}",
                excess_rate=share(0.2),
                p=0.0004,
                is_significant=True,
                **group,
            ),
            ErrorGroup(
                by="form",
                name="invalid JSON",
                excess_rate=None,
                p=None,
                is_significant=False,
                **group,
            ),
        ),
        failures=failures(near),
        label_issues=(
            LabelIssue(
                example="b",
                line=7,
                question=EVIL,
                answer="a",
                predicted="b",
                n_signals=2,
                reason=EVIL,
            ),
        ),
        n_label_issues=1,
        label_issue_signals="the tuned model's own answers",
        n_checked_labels=30,
        suggestions=(
            Suggestion(
                text="Add 6 examples.",
                reason="3 of 9.",
                errors=3,
                n=6,
                expected_gain=0.05,
                max_gain=0.075,
            ),
            Suggestion(
                text="Check 1 training answer.",
                reason="r",
                errors=0,
                n=6,
                expected_gain=None,
                max_gain=None,
                is_uncertain=True,
            ),
        ),
    )


@pytest.fixture
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("tunesmith.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "tight": keep_together,
        "percent": format_percent,
        "signed": lambda value: ("+" if value > 0 else "") + format_points_number(value),
        "bare": format_points_number,
        "count": lambda number: f"{number:,}",
    }
    return made


def test_forgetting_shows_every_kind_and_its_sentences(environment: Environment) -> None:
    page = environment.get_template("forgetting.html").render(
        forgetting=forgetting(), forgetting_sentences=["General ability fell."]
    )
    assert "General ability fell." in page and "1 of the 7 tasks" in page
    assert re.search(
        r'fact</th><td class="number">60.0</td><td class="number">50.0</td><td'
        r' class="number">\+10.0',
        page,
    )
    assert "<script>" not in page and "\u202e" not in page and "&lt;script&gt;" in page


def test_errors_show_groups_suggestions_neighbours_and_suspects(environment: Environment) -> None:
    page = environment.get_template("errors.html").render(
        analysis=analysis(), questions={"a": EVIL}
    )
    for words in (
        "6 of 40 test examples wrong; 1 more",
        "By label pair",
        "By output format",
        "&lt; 0.001",
        "significant",
        "Add 6 examples.",
        "Not significant.",
        "train, line 7",
        "1 of 30 examined",
    ):
        assert words in page, words
    assert "By topic" not in page
    assert "<script>" not in page and "\u202e" not in page


def test_nothing_measured_shows_nothing(environment: Environment) -> None:
    assert (
        not environment.get_template("forgetting.html")
        .render(forgetting=None, forgetting_sentences=())
        .strip()
    )
    assert not environment.get_template("errors.html").render(analysis=None, questions={}).strip()
    flawless = analysis().model_copy(update={"n_wrong": 0, "label_issues": ()})
    assert (
        not environment.get_template("errors.html").render(analysis=flawless, questions={}).strip()
    )
