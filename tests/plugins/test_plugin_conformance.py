"""The parts of the example plugin hold what their seams promise."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.check.run_checks import CHECKS
from tunesmith.data.read.file_formats import READERS
from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.evaluation.scorers.scorer_registry import build_scorer
from tunesmith.records import AdapterRecipe, Example, Message, Recipe
from tunesmith.records.contender_kinds import ContenderKind, get_contender_kind
from tunesmith.testing.adapter_conformance import AdapterConformance
from tunesmith.testing.check_conformance import CheckConformance
from tunesmith.testing.contender_conformance import ContenderConformance
from tunesmith.testing.method_conformance import MethodConformance
from tunesmith.testing.reader_conformance import ReaderConformance
from tunesmith.testing.scorer_conformance import ScorerConformance

pytestmark = pytest.mark.usefixtures("example_plugin")


def example(line: int, answer: str) -> Example:
    """A question and this answer."""
    return Example(line, (Message("user", f"question {line}"), Message("assistant", answer)))


class TestWordOverlap(ScorerConformance):
    def make_scorer(self) -> Any:
        return build_scorer("word-overlap", [])


class TestShouting(CheckConformance):
    def get_check(self) -> Any:
        return CHECKS.load("shouting")

    def make_clean_examples(self) -> list[Example]:
        return [example(1, "A calm answer."), example(2, "OK")]

    def make_bad_examples(self) -> list[Example]:
        return [example(3, "LOUD WORDS"), example(4, "LOUDER WORDS")]


class TestHinge(MethodConformance):
    def make_method(self) -> Any:
        return build_method(Recipe(method="hinge"))


class TestClipped(MethodConformance):
    context = (0.5, 0.5, 60)  # mean and standard deviation of the ratings, tokens

    def make_method(self) -> Any:
        return build_method(Recipe(method="clipped"))


class TestLoraFa(AdapterConformance):
    def make_trainable(self, loaded: Any, recipe: AdapterRecipe) -> Any:
        return build_trainable(loaded, recipe.model_copy(update={"kind": "lora-fa"}))


class TestNearest(ContenderConformance):
    def get_kind(self) -> ContenderKind:
        return get_contender_kind("nearest")


class TestToml(ReaderConformance):
    suffix = ".toml"

    def get_reader(self) -> Any:
        return READERS.load("toml")

    def write(self, path: Path, rows: list[dict[str, Any]]) -> None:
        tables = (
            "".join(
                f"{key} = {json.dumps(text, ensure_ascii=False)}\n" for key, text in row.items()
            )
            for row in rows
        )
        path.write_text("".join(f"[[examples]]\n{table}" for table in tables), encoding="utf-8")
