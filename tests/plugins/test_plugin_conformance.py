"""The parts of the example plugin hold what their seams promise."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.check.run_checks import CHECKS
from tunesmith.data.read.file_formats import READERS
from tunesmith.engine.adapters.adapter_finetune import build_lora
from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.adapters.lora import find_lora_layers
from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.engine.methods.method_registry import build_method
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.errors import ModelError, RecipeError
from tunesmith.evaluation.scorers.scorer_registry import build_scorer
from tunesmith.export.exporter import EXPORTERS, ExportSource
from tunesmith.providers.remote_model import RemoteModel, open_remote_model
from tunesmith.records import (
    AdapterRecipe,
    Example,
    InferenceConfig,
    Message,
    Recipe,
    RemoteRecipe,
)
from tunesmith.records.adapter_kinds import ADAPTERS
from tunesmith.records.contender_kinds import ContenderKind, get_contender_kind
from tunesmith.testing.adapter_conformance import AdapterConformance
from tunesmith.testing.check_conformance import CheckConformance
from tunesmith.testing.contender_conformance import ContenderConformance
from tunesmith.testing.exporter_conformance import ExporterConformance
from tunesmith.testing.method_conformance import MethodConformance
from tunesmith.testing.reader_conformance import ReaderConformance
from tunesmith.testing.remote_model_conformance import RemoteModelConformance
from tunesmith.testing.scorer_conformance import ScorerConformance
from tunesmith.testing.training_service_conformance import TrainingServiceConformance
from tunesmith.workflow.training_job import train

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

    def test_the_named_layers_are_adapted(self, loaded: LoadedModel) -> None:
        self.make_trainable(loaded, AdapterRecipe(target_modules=("q_proj",)))
        assert {name.rpartition(".")[2] for name in find_lora_layers(loaded.model)} == {"q_proj"}

    def test_a_kind_that_ignores_the_target_modules_is_refused(
        self, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def build_everywhere(loaded: LoadedModel, recipe: AdapterRecipe) -> TrainableModel:
            return build_lora(loaded, recipe.replace(target_modules="all-linear"))

        monkeypatch.setattr(ADAPTERS, "load", lambda kind: build_everywhere)
        with pytest.raises(ModelError, match=r"does not adapt the layers of adapter\.target"):
            build_trainable(loaded, AdapterRecipe(target_modules=("q_proj",)))


class TestNearest(ContenderConformance):
    def get_kind(self) -> ContenderKind:
        return get_contender_kind("nearest")


class TestEcho(RemoteModelConformance):
    def make_completer(self) -> RemoteModel:
        return open_remote_model(
            RemoteRecipe(name="parrot", model="any", base_url="echo://localhost")
        )


class TestPromptText(ExporterConformance):
    def get_exporter(self) -> Any:
        return EXPORTERS.load("prompt-text")

    def make_refused_source(self, folder: Path) -> ExportSource:
        """A tuned model is no prompt."""
        config = InferenceConfig(contender="tuned", kind="tuned", model="tuned", max_new_tokens=8)
        return ExportSource("run", None, config)

    def test_a_person_can_read_it(self, tmp_path: Path) -> None:
        self.get_exporter()(self.make_source(tmp_path), tmp_path / "out")
        text = (tmp_path / "out/prompt.txt").read_text(encoding="utf-8")
        assert text == (
            "Say what it is.\n\nuser: What is a plum?\n\nassistant: fruit\n\nuser: {input}\n"
        )


class TestReadyMade(TrainingServiceConformance):
    service = "ready-made"

    @pytest.fixture(autouse=True)
    def _remember_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment = monkeypatch

    def set_up(self, folder: Path, model: Path) -> None:
        """An adapter that somebody trained on this model."""
        ready = folder / "ready"
        trainable = build_trainable(load_model(model, "float32"), AdapterRecipe(rank=4))
        trainable.write(ready, str(model), None)
        self.environment.setenv("TUNESMITH_READY_ADAPTER", str(ready))

    def test_without_an_adapter_it_says_what_to_do(self, recipe: Recipe, tmp_path: Path) -> None:
        self.environment.setenv("TUNESMITH_READY_ADAPTER", str(tmp_path))
        with pytest.raises(RecipeError, match="no-ready-adapter"):
            train(recipe, tmp_path / "runs")


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
