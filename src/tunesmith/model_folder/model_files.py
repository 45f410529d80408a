"""Which files a model consists of: those of its folder, and of the folder of the adapter on it.

Everything that changes answers counts: weights, settings, tokenizer, chat templates. An adapter's
folder may hold its own tokenizer and chat templates (TRL saves both); the adapter was trained with
them, so they replace those of the base. Identity, loading, tokenizer and export all use this list.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError, truncate_list
from tunesmith.model_folder.settings_json import read_settings

SINGLE_WEIGHTS_FILE = "model.safetensors"
SHARD_NAME = re.compile(r"[\w][\w.+-]*\.safetensors")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".joblib")
WEIGHT_INDEX_FILE = "model.safetensors.index.json"
TEMPLATE_FOLDER = "additional_chat_templates"
TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "tekken.json",
    TEMPLATE_FILE,
    "chat_template.json",
)
SETTINGS_FILES = ("config.json", "generation_config.json", *TOKENIZER_FILES, WEIGHT_INDEX_FILE)
"""Files that change the answers of a model, besides its weights and additional chat templates."""
ADAPTER_OVERRIDE_FILES = (*TOKENIZER_FILES, "generation_config.json")
"""Files of the base that an adapter's folder may override."""


def list_settings_files(folder: Path, names: tuple[str, ...] = SETTINGS_FILES) -> dict[str, Path]:
    """The files of one folder that change answers, except weights, by their name in the folder."""
    found = {name: folder / name for name in names if _path_exists(folder / name)}
    templates = folder / TEMPLATE_FOLDER
    more = sorted(templates.glob("*.jinja")) if templates.is_dir() else []
    return found | {f"{TEMPLATE_FOLDER}/{path.name}": path for path in more}


def list_model_files(folder: Path, adapter: Path | None = None) -> dict[str, Path]:
    """The files of a model except weights; those of the adapter's folder replace the base's.

    Errors: `ModelError` when a folder cannot be read.
    """
    try:
        base = list_settings_files(folder)
        own = list_settings_files(adapter, ADAPTER_OVERRIDE_FILES) if adapter else {}
    except OSError as error:
        raise build_unreadable_error(folder, error) from None
    # All templates at once: a base's tool template must not mix with the adapter's default one.
    if any(_is_template(name) for name in own):
        base = {name: path for name, path in base.items() if not _is_template(name)}
    return base | own


def list_weight_files(folder: Path) -> list[Path]:
    """The weight files that transformers opens: model.safetensors, or those listed in the index.

    Errors: `ModelError` when there are none, some are missing, or the index lists other files;
    `OSError` when the folder cannot be read.
    """
    whole, index = folder / SINGLE_WEIGHTS_FILE, folder / WEIGHT_INDEX_FILE
    if _path_exists(whole):
        return [whole]
    settings = read_settings(index)
    if settings is None:
        raise _build_no_weights_error(folder)
    places = _get_weight_map(settings)
    named = sorted(set(places.values()))
    # SHARD_NAME admits no separator: an index must not lead out of the folder.
    outside = [name for name in named if not SHARD_NAME.fullmatch(name)]
    missing = [name for name in named if name not in outside and not _path_exists(folder / name)]
    if outside:
        raise ModelError(
            "broken-index",
            "weight index names files that are not weight files of this folder",
            at=str(index),
            got=truncate_list([repr(name[:80]) for name in outside]),
            hint="download the folder again",
        )
    if missing or not named:
        raise ModelError(
            "missing-weights",
            "weight files are missing",
            at=str(index),
            got=f"no {truncate_list(missing)}" if missing else "an index without weight_map",
            hint="download the missing files",
        )
    return [folder / name for name in named]


def read_weight_index(folder: Path) -> dict[str, str] | None:
    """Tensor name -> weight file according to the index; None where the weights are one file."""
    # A single file takes precedence, as in transformers, so an index next to it is not used.
    if _path_exists(folder / SINGLE_WEIGHTS_FILE):
        return None
    return _get_weight_map(read_settings(folder / WEIGHT_INDEX_FILE) or {})


def _get_weight_map(index: Mapping[str, Any]) -> dict[str, str]:
    places = index.get("weight_map")
    is_map = isinstance(places, dict) and all(isinstance(name, str) for name in places.values())
    return places if is_map and places else {}


def _build_no_weights_error(folder: Path) -> ModelError:
    # Pickled weights get their own error, which says why a complete folder is refused.
    names = sorted(path.name for path in folder.iterdir())
    pickled = [name for name in names if name.endswith(PICKLE_SUFFIXES)]
    if pickled:
        return ModelError(
            "pickled-weights",
            "pickled weights are not loaded for security reasons",
            at=str(folder),
            got=truncate_list(pickled),
            hint=("use the safetensors version of the model"),
        )
    others = [name for name in names if name.endswith(".safetensors")]
    return ModelError(
        "not-a-model",
        "folder contains no weights",
        at=str(folder),
        got=(
            f"neither {SINGLE_WEIGHTS_FILE} nor an index, only {truncate_list(others)}"
            if others
            else "no .safetensors file"
        ),
        hint="pass the folder that contains config.json, the safetensors files and tokenizer.json",
    )


def _path_exists(path: Path) -> bool:
    """Whether this name exists, dangling links and pipes included; those are refused on opening."""
    return path.is_symlink() or path.exists()


def _is_template(name: str) -> bool:
    return name == TEMPLATE_FILE or name.startswith(f"{TEMPLATE_FOLDER}/")


def build_unreadable_error(folder: Path, error: OSError) -> ModelError:
    """The error for a folder or file that the operating system does not let us read."""
    return ModelError(
        "unreadable",
        "cannot read the model folder",
        at=str(error.filename or folder),
        got=error.strerror or str(error),
        hint="check the path and its permissions",
    )
