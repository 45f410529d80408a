"""Strict reader for the settings of a PEFT adapter, `adapter_config.json`.

Only what our layers compute is accepted: with any other LoRA option of PEFT the answers would
differ silently. Format: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError
from tunesmith.model_folder.settings_json import read_settings

ADAPTER_SETTINGS = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
# Options of PEFT that change the computation of a layer, or train parts of the model other than
# LoRA matrices. An adapter with one of them would load without an error and answer differently.
UNSUPPORTED_KEYS = (
    "modules_to_save",
    "layer_replication",
    "trainable_token_indices",
    "lora_bias",
    "target_parameters",
    "arrow_config",
    "use_qalora",
    "use_bdlora",
    "monteclora_config",
    "kasa_config",
    "alora_invocation_tokens",
)
BASE_CHANGING_INITS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initializations that subtract from the base weights: the adapter alone does not say what."""


def read_adapter_settings(folder: Path) -> dict[str, Any]:
    """The settings of a LoRA or DoRA that can be applied exactly.

    Errors: `ModelError` for a missing or unsupported adapter; `OSError`.
    """
    path = folder / ADAPTER_SETTINGS
    settings = read_settings(path)
    if settings is None:
        raise ModelError(
            "no-adapter",
            "folder contains no adapter",
            at=str(folder),
            got=f"no {ADAPTER_SETTINGS}",
            hint="check the path",
        )
    if settings.get("peft_type") != "LORA":
        raise build_unsupported_error(folder, f"peft_type {str(settings.get('peft_type'))[:40]!r}")
    # A falsy value is the default that PEFT writes for each option that is not in use.
    found = [key for key in UNSUPPORTED_KEYS if settings.get(key)]
    found += ["bias"] if settings.get("bias", "none") != "none" else []
    found += (
        ["init_lora_weights"]
        if str(settings.get("init_lora_weights")).startswith(BASE_CHANGING_INITS)
        else []
    )
    found += [
        key for key in ("alpha_pattern", "rank_pattern") if not _is_pattern(settings.get(key))
    ]
    # A text such as "16" would otherwise fail later, with an error that does not name this file.
    found += [
        key for key in ("lora_alpha", "r", "lora_dropout") if not _is_number(settings.get(key, 0))
    ]
    if found:
        raise build_unsupported_error(folder, ", ".join(found))
    return settings


def build_unsupported_error(folder: Path, got: str) -> ModelError:
    """The error for an adapter with settings that our layers do not implement."""
    return ModelError(
        "adapter-unsupported",
        "unsupported adapter type",
        at=str(folder),
        got=got,
        hint="use a LoRA or DoRA adapter on linear layers",
    )


def _is_pattern(pattern: Any) -> bool:
    """Whether a pattern maps plain layer names to numbers; PEFT also allows regular expressions."""
    if pattern is None:
        return True
    return isinstance(pattern, Mapping) and all(
        not re.search(r"[^\w.-]", name) and _is_number(value) for name, value in pattern.items()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
