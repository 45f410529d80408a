"""How many contenders will try to beat the same simpler one."""

import pytest

from tunesmith.contenders.test_set_power import count_challengers
from tunesmith.records import Recipe


@pytest.mark.parametrize(
    ("evaluation", "documents", "has_form", "expected"),
    [
        ({}, None, False, 3),  # rag, tuned, tuned+rag
        ({}, None, True, 4),  # tuned-constrained
        ({"constrained": False}, None, True, 3),
        ({}, "docs", True, 6),  # rag-documents, tuned+rag-documents
        (
            {"remote": [{"name": "big", "base_url": "http://x", "model": "m"}]},
            None,
            False,
            4,
        ),  # big+rag
        ({"external_answers": ["today.csv"]}, None, False, 6),  # zero-shot, few-shot, searched
        (
            {"external_answers": ["today.csv"], "prompt_trials": 0},
            None,
            True,
            8,
        ),  # shown the labels
    ],
)
def test_rivals_are_those_that_will_be_asked(
    evaluation: dict[str, object], documents: str | None, has_form: bool, expected: int
) -> None:
    recipe = Recipe.model_validate(
        {"evaluation": evaluation, "retrieval": {"documents": documents}}
    )
    assert count_challengers(recipe, has_form) == expected
