"""Facts about a model that its config.json tells without loading it."""

import json
from pathlib import Path

from tunesmith.errors import ModelError

CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


def context_tokens(folder: Path | str) -> int | None:
    """The longest sequence the model's positions allow; None when its settings do not say.

    Errors: `ModelError` when there is no readable config.json.
    """
    path = Path(folder) / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        inner = settings.get("text_config", settings)
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            "no-config",
            "The model's settings cannot be read.",
            where=str(path),
            found=str(error),
            do="fetch the model again",
        ) from None
    return next((inner[key] for key in CONTEXT_KEYS if isinstance(inner.get(key), int)), None)
