"""Facts about a model that can be read from its config.json without loading it."""

from pathlib import Path

from tunesmith.errors import ModelError
from tunesmith.model_folder.model_files import build_unreadable_error
from tunesmith.model_folder.settings_json import read_settings

CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


def read_context_tokens(folder: Path | str) -> int | None:
    """The longest sequence in tokens that the model's positions allow; None when not specified.

    Errors: `ModelError` when there is no readable config.json.
    """
    path = Path(folder) / "config.json"
    try:
        settings = read_settings(path)
    except OSError as error:
        raise build_unreadable_error(Path(folder), error) from None
    if settings is None:
        raise ModelError(
            "no-config",
            "model settings are missing",
            at=str(path),
            hint="download the model again",
        )
    # A multimodal model nests the settings of its language model under text_config.
    inner = settings.get("text_config", settings)
    places = [inner] if isinstance(inner, dict) else []
    return next(
        (one[key] for one in places for key in CONTEXT_KEYS if type(one.get(key)) is int), None
    )
