"""The kinds of adapter that a recipe may name.

Each is a function `(LoadedModel, AdapterRecipe) -> TrainableModel` in `engine/adapters/`, imported
when a training begins; a plugin adds one in the group `tunesmith.adapters`.
"""

from collections.abc import Callable
from typing import Any

from tunesmith.plugins import Registry

_PACKAGE = "tunesmith.engine.adapters"
ADAPTERS: Registry[Callable[..., Any]] = Registry(
    "tunesmith.adapters",
    "adapter type",
    {
        "lora": f"{_PACKAGE}.adapter_finetune:build_lora",
        "full": f"{_PACKAGE}.full_finetune:build_full",
    },
)
