"""What transformers gets to see of a model folder: verified weights and a rewritten config.json.

    view/config.json                  only the keys that the architecture declares
    view/model.safetensors            a link to the folder's own file (or the files of its index)

The view contains nothing else: no adapter that the library would attach by itself, no second set of
weights, no Python file. Settings that control loading are removed, because transformers turns every
key of a config.json into an attribute of its configuration, also `_attn_implementation` and
`transformers_weights` (docs/decisions/098).
"""

import dataclasses
import inspect
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from tunesmith.errors import ModelError
from tunesmith.model_folder.config_checks import check_config_keys
from tunesmith.model_folder.model_files import (
    SINGLE_WEIGHTS_FILE,
    WEIGHT_INDEX_FILE,
    build_unreadable_error,
    list_weight_files,
)
from tunesmith.model_folder.settings_json import read_settings
from tunesmith.temporary_files import make_private_folder

# Names of the rotary settings in different versions of transformers, which converts older ones.
ROTARY_KEYS = {
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rotary_pct",
    "rotary_emb_base",
    "partial_rotary_factor",
}
ALLOWED_COMMON_KEYS = {"is_encoder_decoder", "tie_word_embeddings"}
IGNORED_KEYS = {
    "dtype",
    "torch_dtype",
    "transformers_version",
    "id2label",
    "label2id",
    "problem_type",
    "num_labels",
}
"""Declared by every configuration, but not for the file to decide: how a model is loaded, and
classification.
"""
SIZE_SLACK = 2**20  # tolerance of `check_sizes` in numbers, for tiny models
VIEW_NAME = "tunesmith-model"
AttentionImplementation = Literal["sdpa", "eager"]
MAX_BUFFER_ELEMENTS = 2**28
"""Numbers that a model may compute from its settings and hold (masks, position tables): 16,384
positions squared."""
# Contradictory settings end in any of these, wherever transformers first computes with them.
LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    ImportError,
    AssertionError,
    SafetensorError,
    StrictDataclassError,
)
# Finds the settings that a configuration's source code reads from `kwargs` without declaring them.
KWARGS_PATTERN = re.compile(r"""kwargs\.(?:pop|get)\(\s*["'](\w+)["']""")


@contextmanager
def open_sanitized_folder(folder: Path, *, weights_needed: bool = True) -> Iterator[Path]:
    """Provide a temporary folder from which transformers can load this model and nothing else.

    Without `weights_needed` it contains the settings only. Errors: `ModelError`.
    """
    try:
        weights = list_weight_files(folder) if weights_needed else []
        config = json.dumps(read_model_config(folder), indent=2)
        index = read_settings(folder / WEIGHT_INDEX_FILE)
    except OSError as error:
        raise build_unreadable_error(folder, error) from None
    with make_private_folder(VIEW_NAME) as view:
        (view / "config.json").write_text(config, encoding="utf-8")
        for path in weights:
            (view / path.name).symlink_to(path.resolve())
        if index is not None and [path.name for path in weights] != [SINGLE_WEIGHTS_FILE]:
            (view / WEIGHT_INDEX_FILE).write_text(json.dumps(index), encoding="utf-8")
        yield view


def read_model_config(folder: Path) -> dict[str, Any]:
    """The settings of a model folder, reduced to the keys that its architecture declares.

    Errors: `ModelError` when there are none, or the architecture is unknown; `OSError`.
    """
    path = folder / "config.json"
    settings = read_settings(path)
    if settings is None:
        raise _build_load_error(folder, "no config.json")
    check_config_keys(settings, path)
    kind = settings.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise _build_load_error(
            folder,
            f"model_type {str(kind)[:40]!r}, unknown to this version of transformers",
        )
    return _select_declared(settings, CONFIG_MAPPING[kind])


def _build_load_error(folder: Path, got: str) -> ModelError:
    return ModelError(
        "unloadable",
        "folder cannot be loaded as a causal language model",
        at=str(folder),
        got=got,
        hint="pass a folder with config.json and *.safetensors of a text model",
    )


def _select_declared(settings: Mapping[str, Any], kind: type[PreTrainedConfig]) -> dict[str, Any]:
    """The keys that the class declares, and plain numbers, which model code may read by name."""
    name: Any = kind  # typed as if classes could not be hashed
    declared, parts = _list_config_names(name), kind.sub_configs
    found: dict[str, Any] = {}
    for key, value in settings.items():
        part = parts.get(key)
        if part is not None and isinstance(value, dict):
            found[key] = _select_declared(value, _get_config_class(value, part))
        elif key in declared or key == "model_type" or _is_plain_number(key, value, kind):
            found[key] = value
    return found


def _is_plain_number(key: str, value: Any, kind: type[PreTrainedConfig]) -> bool:
    """Whether the value is a number under a key that no attribute of every configuration uses."""
    is_common = key.startswith("_") or hasattr(kind, key) or key in IGNORED_KEYS
    return isinstance(value, int | float | None) and not is_common


def _get_config_class(settings: Mapping[str, Any], part: Any) -> type[PreTrainedConfig]:
    """The class of a nested configuration, which may name its own `model_type`."""
    own = str(settings.get("model_type"))
    is_one_kind = isinstance(part, type) and issubclass(part, PreTrainedConfig) and part.model_type
    return part if is_one_kind or own not in CONFIG_MAPPING else CONFIG_MAPPING[own]


@cache
def _list_config_names(kind: type[PreTrainedConfig]) -> frozenset[str]:
    """Fields of the class, their aliases, and older names that its source code reads."""
    base = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    fields = {field.name for field in dataclasses.fields(kind)} | set(kind.attribute_map)
    fields |= set(inspect.signature(kind.__init__).parameters)
    read = set(KWARGS_PATTERN.findall(inspect.getsource(inspect.getmodule(kind) or kind)))
    steering = (
        base
        | IGNORED_KEYS
        | {"self", "kwargs", "args", "name_or_path", "revision", "token", "cache_dir"}
    )
    return frozenset((fields | read | ROTARY_KEYS) - (steering - ALLOWED_COMMON_KEYS))


def choose_attention(config: PreTrainedConfig) -> AttentionImplementation:
    """The attention implementation to request from transformers.

    Some families have no fused attention there (Gemma 2 caps its scores, BLOOM adds its positions
    to them): they get the eager one, and examples then share no prefixes. Errors: `ModelError` when
    this is not a causal language model.
    """
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    # The decoder of an encoder-decoder (BART) on its own is no published model: its answers would
    # mean nothing.
    if config.is_encoder_decoder or type(config).is_encoder_decoder or kind is None:
        raise ModelError(
            "not-causal",
            "not a causal language model",
            at=config.name_or_path or "",
            got=f"model_type {config.model_type}",
            hint="choose a decoder-only text model",
        )
    if config.model_type == "falcon" and config.alibi:
        raise ModelError(
            "unsure-attention",
            "outputs of this model are ambiguous",
            at=config.name_or_path or "",
            got=(
                "Falcon with ALiBi, for which the two attention implementations of "
                "transformers differ"
            ),
            hint="choose a model with rotary position embeddings",
        )
    kind = kind[0] if isinstance(kind, tuple) else kind
    return "sdpa" if kind._supports_sdpa else "eager"


def check_sizes(view: Path) -> AttentionImplementation:
    """Build the model without memory for its weights, and compare its sizes with the files.

    Protects against settings that ask for huge tensors. Errors: `ModelError`; what transformers
    raises for contradictory settings.
    """
    config = AutoConfig.from_pretrained(str(view), local_files_only=True, trust_remote_code=False)
    attention = choose_attention(config)
    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(
            config, attn_implementation=attention, trust_remote_code=False
        )
    weights = sum(weight.numel() for weight in made.parameters())  # a tied weight counts once
    buffers = sum(buffer.numel() for buffer in made.buffers())
    stored = sum(math.prod(shape) for shape in _read_shapes(view).values())
    # Missing weights are reported when they are read; this check is about memory only.
    if weights > 2 * stored + SIZE_SLACK or buffers > max(stored, MAX_BUFFER_ELEMENTS):
        raise ModelError(
            "wrong-size",
            "model settings do not match the weights",
            at=str(view),
            got=(
                f"settings require {weights:,} weights and {buffers:,} other numbers, files "
                f"contain {stored:,}"
            ),
            hint="download the folder again",
        )
    return attention


def _read_shapes(view: Path) -> dict[str, Sequence[int]]:
    shapes: dict[str, Sequence[int]] = {}
    for path in view.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return shapes


@contextmanager
def convert_load_errors(folder: Path) -> Iterator[None]:
    """Within this block, transformers' errors become one `ModelError` that names the folder."""
    try:
        with silence_transformers():
            yield
    except ModelError as error:
        # The temporary view is gone when the user reads the message, so its path is left out.
        found = "; ".join(part for part in (error.got, error.at) if part and VIEW_NAME not in part)
        raise ModelError(
            error.code.partition("/")[2], error.what, at=str(folder), got=found, hint=error.hint
        ) from None
    except MemoryError:
        raise _build_load_error(folder, "not enough memory") from None
    except LOAD_ERRORS as error:
        raise _build_load_error(
            folder, " ".join(str(error).split())[:300] or type(error).__name__
        ) from None


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and warnings within this block."""
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
