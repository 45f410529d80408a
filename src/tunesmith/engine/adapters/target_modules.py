"""Which linear layers of a model an adapter is attached to, and their names in PEFT's format.

A name means every layer that is called so or whose full name ends in it after a dot, as PEFT reads
a list of `target_modules`: `q_proj` means `model.layers.0.self_attn.q_proj` and those of the other
blocks.
"""

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tunesmith.engine.adapters.linear_layers import LinearLayer, find_linear_layers
from tunesmith.engine.sanitized_folder import convert_load_errors, open_sanitized_folder
from tunesmith.errors import ModelError
from tunesmith.records.recipe import ALL_LINEAR


def find_target_layers(
    model: PreTrainedModel, target_modules: Literal["all-linear"] | Sequence[str]
) -> dict[str, LinearLayer]:
    """Full name -> linear layer that gets an adapter, in the order of the model.

    Errors: `ModelError` when the model has no linear layer, or a target names none.
    """
    layers = find_linear_layers(model)
    if not layers:
        raise ModelError(
            "no-linear-layers",
            "model has no linear layer for LoRA",
            hint="use another model",
        )
    if isinstance(target_modules, str):
        return layers
    ends = {name: frozenset(_iterate_ends(name)) for name in layers}
    # Short names, each once: a model has hundreds of layers, and a hint names a few.
    known = list(dict.fromkeys(_get_short_name(name) for name in layers))
    for target in target_modules:
        if not any(target in names for names in ends.values()):
            near = get_close_matches(target, known, n=1)
            raise ModelError(
                "unknown-target-module",
                "adapter.target_modules names no linear layer that can be adapted",
                got=target,
                hint=(f"did you mean {near[0]}? " if near else "")
                + f"this model has: {', '.join(known)}",
            )
    return {
        name: layer for name, layer in layers.items() if not ends[name].isdisjoint(target_modules)
    }


def check_target_modules(
    folder: Path, target_modules: Literal["all-linear"] | Sequence[str]
) -> None:
    """Check the names against the model of this folder, whose weights are not read.

    So a mistyped name is reported at once, not when training begins. Errors: `ModelError`.
    """
    if target_modules == ALL_LINEAR:
        return
    with (
        open_sanitized_folder(folder, weights_needed=False) as view,
        convert_load_errors(folder),
        # No weights and no memory: names and shapes are all that is needed.
        torch.device("meta"),
    ):
        config = AutoConfig.from_pretrained(
            str(view), local_files_only=True, trust_remote_code=False
        )
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    find_target_layers(model, target_modules)


def list_target_modules(model: nn.Module, adapted: Collection[str]) -> list[str]:
    """The shortest ends of names that mean the adapted layers and no other module, sorted.

    PEFT attaches an adapter to every module that a name means. So `c_proj` is not enough for a
    GPT-2 whose attention alone is adapted: `attn.c_proj` is.
    """
    inside = tuple(f"{name}." for name in adapted)
    others = {
        end
        for name, _ in model.named_modules()
        if name not in adapted and not name.startswith(inside)
        for end in _iterate_ends(name)
    }
    return sorted(
        {next((end for end in _iterate_ends(name) if end not in others), name) for name in adapted}
    )


def _iterate_ends(name: str) -> Iterator[str]:
    """`c`, `b.c` and `a.b.c` for `a.b.c`."""
    parts = name.split(".")
    return (".".join(parts[-count:]) for count in range(1, len(parts) + 1))


def _get_short_name(name: str) -> str:
    """The last part of a full name; the last two where the last is a number."""
    ends = list(_iterate_ends(name))
    return ends[1] if ends[0].isdigit() and len(ends) > 1 else ends[0]
