"""Which files a model consists of: those of its folder, and of the folder of the adapter on it.

Everything that changes answers counts: weights, settings, tokenizer, chat templates. An adapter's
folder may hold a tokenizer and chat templates of its own (TRL saves both); they are what the adapter
was trained with, so they take the place of the base's. Identity, loading, tokenizer and export all
go by this one list.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError, name_some
from tunesmith.model_folder.settings import read_settings

WHOLE_WEIGHTS = "model.safetensors"
SHARD_NAME = re.compile(r"[\w][\w.+-]*\.safetensors")
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".joblib")
WEIGHT_INDEX = "model.safetensors.index.json"
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
SETTINGS_FILES = ("config.json", "generation_config.json", *TOKENIZER_FILES, WEIGHT_INDEX)
"""What changes the answers of a model, besides its weights and additional chat templates."""
OF_AN_ADAPTER = (*TOKENIZER_FILES, "generation_config.json")
"""What an adapter's folder may have of its own."""


def settings_of(folder: Path, names: tuple[str, ...] = SETTINGS_FILES) -> dict[str, Path]:
    """The files of one folder that change answers, besides weights, by their name in the folder."""
    found = {name: folder / name for name in names if _is_there(folder / name)}
    templates = folder / TEMPLATE_FOLDER
    more = sorted(templates.glob("*.jinja")) if templates.is_dir() else []
    return found | {f"{TEMPLATE_FOLDER}/{path.name}": path for path in more}


def model_files(folder: Path, adapter: Path | None = None) -> dict[str, Path]:
    """The files of a model besides weights: those of the adapter's folder go before the base's.

    Errors: `ModelError` when a folder cannot be read.
    """
    try:
        base = settings_of(folder)
        own = settings_of(adapter, OF_AN_ADAPTER) if adapter else {}
    except OSError as error:
        raise unreadable(folder, error) from None
    if any(_is_template(name) for name in own):
        base = {name: path for name, path in base.items() if not _is_template(name)}
    return base | own


def weights_of(folder: Path) -> list[Path]:
    """The weight files that transformers opens: model.safetensors, else those that the index names.

    Errors: `ModelError` when there are none, some are missing, or the index names something else;
    `OSError` when the folder cannot be read.
    """
    whole, index = folder / WHOLE_WEIGHTS, folder / WEIGHT_INDEX
    if _is_there(whole):
        return [whole]
    settings = read_settings(index)
    if settings is None:
        raise _no_weights(folder)
    places = _map_of(settings)
    named = sorted(set(places.values()))
    outside = [name for name in named if not SHARD_NAME.fullmatch(name)]
    missing = [name for name in named if name not in outside and not _is_there(folder / name)]
    if outside:
        raise ModelError(
            "broken-index",
            "The index of the weights names what is no weight file of this folder.",
            where=str(index),
            found=name_some([repr(name[:80]) for name in outside]),
            do="fetch the folder again from its source",
        )
    if missing or not named:
        raise ModelError(
            "missing-weights",
            "Some of the model's weight files are missing.",
            where=str(index),
            found=f"no {name_some(missing)}" if missing else "an index without weight_map",
            do="fetch the missing files",
        )
    return [folder / name for name in named]


def named_in_index(folder: Path) -> dict[str, str] | None:
    """Tensor -> weight file, as the index has it; None where the weights are one file."""
    if _is_there(folder / WHOLE_WEIGHTS):
        return None
    return _map_of(read_settings(folder / WEIGHT_INDEX) or {})


def _map_of(index: Mapping[str, Any]) -> dict[str, str]:
    places = index.get("weight_map")
    is_map = isinstance(places, dict) and all(isinstance(name, str) for name in places.values())
    return places if is_map and places else {}


def _no_weights(folder: Path) -> ModelError:
    names = sorted(path.name for path in folder.iterdir())
    pickled = [name for name in names if name.endswith(PICKLED)]
    if pickled:
        return ModelError(
            "pickled-weights",
            "The weights are pickled: opening them would run whatever program they carry.",
            where=str(folder),
            found=name_some(pickled),
            do="take the safetensors version of the model, or let whoever made it convert it; pickles are never opened",
        )
    others = [name for name in names if name.endswith(".safetensors")]
    return ModelError(
        "not-a-model",
        "This folder holds no weights.",
        where=str(folder),
        found=f"neither {WHOLE_WEIGHTS} nor an index, only {name_some(others)}" if others else "no .safetensors file",
        do="give the folder that holds config.json, the safetensors files and tokenizer.json",
    )


def _is_there(path: Path) -> bool:
    """Whether anything has this name: a pipe is there too, and is refused when it is opened."""
    return path.is_symlink() or path.exists()


def _is_template(name: str) -> bool:
    return name == TEMPLATE_FILE or name.startswith(f"{TEMPLATE_FOLDER}/")


def unreadable(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        "unreadable",
        "The model folder cannot be read.",
        where=str(error.filename or folder),
        found=error.strerror or str(error),
        do="check the path and its permissions",
    )
