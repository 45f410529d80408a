"""Facts about a model that its config.json tells without loading it."""

from pathlib import Path

from tunesmith.errors import ModelError
from tunesmith.model_folder.model_files import build_unreadable_error
from tunesmith.model_folder.settings_json import read_settings

CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


def read_context_tokens(folder: Path | str) -> int | None:
    """The longest sequence the model's positions allow; None when its settings do not say.

    Errors: `ModelError` when there is no readable config.json.
    """
    path = Path(folder) / "config.json"
    try:
        settings = read_settings(path)
    except OSError as error:
        raise build_unreadable_error(Path(folder), error) from None
    if settings is None:
        raise ModelError("no-config", "The model's settings are missing.", where=str(path), do="fetch the model again")
    inner = settings.get("text_config", settings)
    places = [inner] if isinstance(inner, dict) else []
    return next((one[key] for one in places for key in CONTEXT_KEYS if type(one.get(key)) is int), None)
