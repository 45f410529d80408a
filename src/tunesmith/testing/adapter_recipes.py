"""The combinations of adapter options that have names in the field, as recipes for tests."""

from collections.abc import Mapping
from typing import Any

from tunesmith.records import AdapterRecipe

ADAPTER_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "qlora": {"load_in_4bit": True},
    "qrslora": {"load_in_4bit": True, "use_rslora": True},
    "qdora": {"load_in_4bit": True, "use_dora": True},
    "full": {"kind": "full"},
}
"""Name in the field -> the options of a recipe that say it."""


def build_adapter_recipe(name: str, **options: Any) -> AdapterRecipe:
    """The adapter section of that name; `options` are left out for full fine-tuning, which has
    none.
    """
    return AdapterRecipe(**ADAPTER_OPTIONS[name], **({} if name == "full" else options))
