"""Every built-in kind of adapter keeps the contract that plugins are held to."""

from typing import Any

import pytest

from tunesmith.engine.adapters.adapter_registry import build_trainable
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.records import AdapterRecipe
from tunesmith.testing.adapter_conformance import AdapterConformance
from tunesmith.testing.adapter_recipes import ADAPTER_OPTIONS


class TestBuiltInAdapters(AdapterConformance):
    @pytest.fixture(autouse=True, params=["lora", "rslora", "dora", "full"])
    def kind(self, request: pytest.FixtureRequest) -> None:
        """Each kind in turn. Not qlora: it is lora on a model in 4 bits
        (test_engine_four_bit.py)."""
        self.name: str = request.param

    def make_trainable(self, loaded: LoadedModel, recipe: AdapterRecipe) -> Any:
        return build_trainable(loaded, recipe.replace(**ADAPTER_OPTIONS[self.name]))
