"""What transformers gets to see of a model folder: the verified weights and a config.json of our own.

    view/config.json                  only the keys that the architecture declares
    view/model.safetensors            a link to the folder's own file (or the files of its index)

Nothing else of the folder is there: no adapter that the library would put on by itself, no second
set of weights, no Python file. What steers loading is not in the settings: transformers takes every
key of a config.json as an attribute of its configuration, `_attn_implementation` and
`transformers_weights` too.
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

ROTARY_KEYS = {
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rotary_pct",
    "rotary_emb_base",
    "partial_rotary_factor",
}
ALLOWED_COMMON_KEYS = {"is_encoder_decoder", "tie_word_embeddings"}
IGNORED_KEYS = {"dtype", "torch_dtype", "transformers_version", "id2label", "label2id", "problem_type", "num_labels"}
"""Declared by every configuration and no business of the file: how it is loaded, classification."""
SIZE_SLACK = 2**20
VIEW_NAME = "tunesmith-model"
AttentionImplementation = Literal["sdpa", "eager"]
MAX_BUFFER_ELEMENTS = 2**28
"""Numbers that a model computes from its settings and keeps: masks, tables of positions. 8,192 positions squared."""
# Settings that contradict each other end in any of these, wherever transformers first computes with them.
LOAD_ERRORS = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, RuntimeError, ImportError,
    AssertionError, SafetensorError, StrictDataclassError,
)  # fmt: skip
KWARGS_PATTERN = re.compile(r"""kwargs\.(?:pop|get)\(\s*["'](\w+)["']""")


@contextmanager
def open_view(folder: Path, *, weights_needed: bool = True) -> Iterator[Path]:
    """A temporary folder from which transformers may load this model, and nothing besides.

    Without `weights_needed` it has the settings only.

    Errors: `ModelError`.
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
    """The settings of a model folder, reduced to what its architecture declares.

    Errors: `ModelError` when there are none, or of no known architecture; `OSError`.
    """
    path = folder / "config.json"
    settings = read_settings(path)
    if settings is None:
        raise _build_load_error(folder, "no config.json")
    check_config_keys(settings, path)
    kind = settings.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise _build_load_error(
            folder, f"model_type {str(kind)[:40]!r}, which this version of transformers does not know"
        )
    return _select_declared(settings, CONFIG_MAPPING[kind])


def _build_load_error(folder: Path, found: str) -> ModelError:
    return ModelError(
        "unloadable",
        "This folder cannot be loaded as a causal language model.",
        where=str(folder),
        found=found,
        do="give a folder with config.json and *.safetensors of a text model",
    )


def _select_declared(settings: Mapping[str, Any], kind: type[PreTrainedConfig]) -> dict[str, Any]:
    """What the configuration class declares, and plain numbers besides: code may ask for those by name."""
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
    """A number, and not one that would change something that every configuration has."""
    is_common = key.startswith("_") or hasattr(kind, key) or key in IGNORED_KEYS
    return isinstance(value, int | float | None) and not is_common


def _get_config_class(settings: Mapping[str, Any], part: Any) -> type[PreTrainedConfig]:
    """The class of an inner configuration: a place for any kind of it names its own."""
    own = str(settings.get("model_type"))
    is_one_kind = isinstance(part, type) and issubclass(part, PreTrainedConfig) and part.model_type
    return part if is_one_kind or own not in CONFIG_MAPPING else CONFIG_MAPPING[own]


@cache
def _list_config_names(kind: type[PreTrainedConfig]) -> frozenset[str]:
    """Fields of the class, other names of them, and older names that its own code reads."""
    base = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    fields = {field.name for field in dataclasses.fields(kind)} | set(kind.attribute_map)
    fields |= set(inspect.signature(kind.__init__).parameters)
    read = set(KWARGS_PATTERN.findall(inspect.getsource(inspect.getmodule(kind) or kind)))
    steering = base | IGNORED_KEYS | {"self", "kwargs", "args", "name_or_path", "revision", "token", "cache_dir"}
    return frozenset((fields | read | ROTARY_KEYS) - (steering - ALLOWED_COMMON_KEYS))


def choose_attention(config: PreTrainedConfig) -> AttentionImplementation:
    """The implementation of attention to ask transformers for.

    Some families have no fused attention there, because of what theirs does (Gemma 2 caps its scores, BLOOM's
    positions are added to them): those get the plain one, with examples that share nothing.
    Errors: `ModelError` when this is no causal language model.
    """
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    # The decoder of BART and its like alone has the answers of no model that anybody publishes.
    if config.is_encoder_decoder or type(config).is_encoder_decoder or kind is None:
        raise ModelError(
            "not-causal", "This is not a causal language model, and only those are tuned and asked.",
            where=config.name_or_path or "", found=f"model_type {config.model_type}",
            do="choose a decoder-only text model",
        )  # fmt: skip
    if config.model_type == "falcon" and config.alibi:
        raise ModelError(
            "unsure-attention", "What this model computes is not certain.", where=config.name_or_path or "",
            found="Falcon with ALiBi, for which the two implementations of attention in transformers differ",
            do="choose a model with rotary positions",
        )  # fmt: skip
    kind = kind[0] if isinstance(kind, tuple) else kind
    return "sdpa" if kind._supports_sdpa else "eager"


def check_sizes(view: Path) -> AttentionImplementation:
    """Make the model of a view without memory for its weights, and hold its sizes against the files'.

    Errors: `ModelError`; what transformers raises for settings that contradict each other.
    """
    config = AutoConfig.from_pretrained(str(view), local_files_only=True, trust_remote_code=False)
    attention = choose_attention(config)
    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(config, attn_implementation=attention, trust_remote_code=False)
    weights = sum(weight.numel() for weight in made.parameters())  # a shared one counts once
    buffers = sum(buffer.numel() for buffer in made.buffers())
    stored = sum(math.prod(shape) for shape in _read_shapes(view).values())
    # A few that are missing are named when they are read: what matters here is memory.
    if weights > 2 * stored + SIZE_SLACK or buffers > max(stored, MAX_BUFFER_ELEMENTS):
        raise ModelError(
            "wrong-size", "The model's settings do not fit its weights.", where=str(view),
            found=f"the settings ask for {weights:,} weights and {buffers:,} other numbers, the files hold {stored:,}",
            do="fetch the folder again from its source",
        )  # fmt: skip
    return attention


def _read_shapes(view: Path) -> dict[str, Sequence[int]]:
    shapes: dict[str, Sequence[int]] = {}
    for path in view.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return shapes


@contextmanager
def convert_load_errors(folder: Path) -> Iterator[None]:
    """Within this block whatever transformers says about a folder becomes one `ModelError` that names the folder."""
    try:
        with silence_transformers():
            yield
    except ModelError as error:
        found = "; ".join(part for part in (error.found, error.where) if part and VIEW_NAME not in part)
        raise ModelError(
            error.code.partition("/")[2], error.what, where=str(folder), found=found, do=error.do
        ) from None
    except MemoryError:
        raise _build_load_error(folder, "not enough memory") from None
    except LOAD_ERRORS as error:
        raise _build_load_error(folder, " ".join(str(error).split())[:300] or type(error).__name__) from None


@contextmanager
def silence_transformers() -> Iterator[None]:
    """No progress bars or warnings of transformers within this block; its settings are put back after."""
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
