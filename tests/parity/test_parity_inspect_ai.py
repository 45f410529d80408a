"""Scorers that do the same as inspect_ai's, against what those said (`recorded/`, which names the
version).

Known differences, none of them counted as equal by accident: Chinese numerals and superscripts are
not read.
"""

import json
from itertools import product
from pathlib import Path

import pytest

from tunesmith.data.interop.imported_content import UnsupportedFeatures
from tunesmith.data.interop.inspect_ai import _map_scorer
from tunesmith.evaluation.scorers.scorer_protocol import ScoringInput, score_items
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer

RECORDED = json.loads((Path(__file__).parent / "recorded" / "inspect_ai.json").read_text())
TARGETS = [one if isinstance(one, list) else [one] for one in RECORDED["targets"]]
PAIRS = list(product(RECORDED["answers"], TARGETS))


def named(one: dict) -> str:
    return f"{one['scorer']}({one['options']})"


@pytest.mark.parametrize(
    "one",
    [one for one in RECORDED["recorded"] if one["scorer"] not in ("answer", "pattern")],
    ids=named,
)
def test_scores_are_those_of_inspect_ai(one: dict) -> None:
    name = _map_scorer(one["scorer"], one["options"], UnsupportedFeatures())
    assert name is not None
    scorer, _ = choose_scorer(["x"], name)
    ours = [
        scorer.score(answer, targets[0] if len(targets) == 1 else json.dumps(targets))[
            scorer.metric
        ]
        for answer, targets in PAIRS
    ]
    assert len(set(one["scores"])) > 1
    assert [
        pair for pair, a, b in zip(PAIRS, ours, one["scores"], strict=True) if abs(a - b) > 1e-9
    ] == []


@pytest.mark.parametrize(
    "one",
    [one for one in RECORDED["recorded"] if one["scorer"] in ("answer", "pattern")],
    ids=named,
)
def test_patterns_find_what_inspect_ai_finds(one: dict) -> None:
    """Where the pattern is found nowhere, ours compares the whole answer, and inspect_ai gives
    0."""
    name = _map_scorer(one["scorer"], one["options"], UnsupportedFeatures())
    assert name is not None
    scorer, _ = choose_scorer(["x"], name)
    mark = "is " if one["scorer"] == "pattern" else "answer:"
    chosen = [
        (ScoringInput(answer, targets[0]), score)
        for (answer, targets), score in zip(PAIRS, one["scores"], strict=True)
        if len(targets) == 1 and (mark in answer.lower() or score)
    ]
    ours = score_items(scorer, [item for item, _ in chosen])
    wrong = [
        (item, mine)
        for (item, score), mine in zip(chosen, ours, strict=True)
        if score and mine != {"pattern_match": score}
    ]
    assert wrong == [] and any(score for _, score in chosen)
