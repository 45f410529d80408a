"""A whole model as an ordinary folder, which transformers and every inference server can load.

    config.json  model.safetensors  and unchanged copies of the base's tokenizer, chat template and settings

The weights are one file that is replaced atomically, after everything else has been written.
"""  # noqa: E501

import os
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from tunesmith.atomic_io import read_regular_file, replace_atomically, write_atomically
from tunesmith.engine.sanitized_folder import (
    LOAD_ERRORS,
    open_sanitized_folder,
    silence_transformers,
)
from tunesmith.errors import ModelError
from tunesmith.model_folder.model_files import WEIGHT_INDEX_FILE, list_model_files
from tunesmith.temporary_files import make_temporary_folder

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
LICENSE_FILES = ("LICENSE", "NOTICE")


def write_model(model: PreTrainedModel, folder: Path, adapter: Path | None = None) -> None:
    """Write a model that was loaded from a folder, possibly with an adapter, as a new folder.

    Everything except weights and config is copied from these two sources. Training changes none of
    it, in particular not the vocabulary. Errors: `OSError`.
    """
    source = Path(str(model.name_or_path))
    folder.mkdir(parents=True, exist_ok=True)
    copied = list_model_files(source, adapter)
    copied |= {name: source / name for name in LICENSE_FILES if (source / name).is_file()}
    for name in copied.keys() - {CONFIG_FILE, WEIGHT_INDEX_FILE}:
        write_atomically(folder / name, read_regular_file(copied[name]))
    with make_temporary_folder(folder / "saved") as saved:
        _save(model, saved)
        write_atomically(folder / CONFIG_FILE, (saved / CONFIG_FILE).read_bytes())
        with replace_atomically(folder / WEIGHTS_FILE) as place:
            os.replace(saved / WEIGHTS_FILE, place)


def _save(model: PreTrainedModel, folder: Path) -> None:
    """Save with transformers, which knows how tied and rearranged weights are stored."""
    # transformers refuses to save invalid generation settings, which published models do have.
    settings, model.generation_config = model.generation_config, GenerationConfig()
    try:
        # The progress bar of `save_pretrained` ignores transformers' settings.
        with silence_transformers(), redirect_stderr(StringIO()):
            # One shard, because a single file can be replaced atomically.
            model.save_pretrained(folder, max_shard_size="1000000GB")
    finally:
        model.generation_config = settings


def read_model(model: PreTrainedModel, folder: Path) -> None:
    """Load the weights of a folder written by `write_model` into a model.

    Errors: `ModelError` when they do not fit.
    """
    try:
        with open_sanitized_folder(folder) as view, silence_transformers():
            written = AutoModelForCausalLM.from_pretrained(
                str(view),
                dtype=model.dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        model.load_state_dict(written.state_dict())
    except LOAD_ERRORS as error:
        raise ModelError(
            "model-misfit",
            "cannot read back the saved model",
            at=str(folder),
            got=" ".join(str(error).split())[:300] or type(error).__name__,
            hint="run the command again",
        ) from None
