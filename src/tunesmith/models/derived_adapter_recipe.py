"""Read the settings of a trained adapter as the adapter section of a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunesmith.model_folder.adapter_settings import (
    ADAPTER_WEIGHTS,
    build_unsupported_error,
    read_adapter_settings,
)
from tunesmith.models.safetensors_header import read_header, read_metadata
from tunesmith.records import AdapterRecipe


def derive_adapter_recipe(folder: Path) -> AdapterRecipe:
    """Rank, alpha, dropout, target modules and options of an adapter in PEFT's format.

    Errors: `ModelError` for an adapter that no recipe can describe; `OSError`.
    """
    settings = read_adapter_settings(folder)
    # PEFT has no key for QLoRA; tunesmith records the 4-bit base in the metadata of the weights.
    in_four_bits = read_metadata(folder / ADAPTER_WEIGHTS).get("base_weights") == "nf4"
    try:
        return AdapterRecipe(
            rank=settings.get("r"),
            alpha=float(settings.get("lora_alpha", 0)),
            dropout=float(settings.get("lora_dropout") or 0.0),
            target_modules=_read_target_modules(folder, settings),
            use_rslora=bool(settings.get("use_rslora")),
            use_dora=bool(settings.get("use_dora")),
            load_in_4bit=in_four_bits,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise build_unsupported_error(
            folder, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None


def _read_target_modules(folder: Path, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The listed names that mean a layer of the adapter; PEFT allows others in the list.

    Where PEFT has a regular expression instead: the last parts of the layers' names.
    """
    layers = {
        key.partition(".lora_A.")[0]
        for key in read_header(folder / ADAPTER_WEIGHTS)
        if ".lora_A." in key
    }
    listed = settings.get("target_modules")
    names = listed if isinstance(listed, list) else [layer.rpartition(".")[2] for layer in layers]
    return tuple(
        sorted({name for name in names if any(layer.endswith(f".{name}") for layer in layers)})
    )
