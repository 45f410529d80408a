"""Choose the chat template of a model folder as transformers does.

    chat_template.jinja and additional_chat_templates/*.jinja      if any of them exists, else
    "chat_template" of tokenizer_config.json                       a text, or a list of named texts

Of several, `tool_use` is used when tools are passed and `default` otherwise.
Source: `PreTrainedTokenizerBase._from_pretrained` and `get_chat_template` of transformers 5;
tests/parity/test_parity_tokenizer.py compares the two.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import read_regular_file
from tunesmith.errors import ModelError
from tunesmith.model_folder.model_files import TEMPLATE_FILE, TEMPLATE_FOLDER

MAX_TEMPLATE_BYTES = 2**20


@dataclass(frozen=True)
class ChatTemplates:
    """The templates for conversations without and with tools, and the path of their `origin`."""

    default: str
    tool_use: str
    origin: str

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of both templates."""
        return hashlib.sha256(f"{self.default}\0{self.tool_use}".encode()).hexdigest()


def read_chat_templates(
    folder: Path, files: Mapping[str, Path], tokenizer_config: Mapping[str, Any]
) -> ChatTemplates:
    """The chat templates of a model.

    Errors: `ModelError` when there is no template, or none named `default`.
    """
    named = _read_template_files(files)
    origin = files.get(TEMPLATE_FILE) or files.get("tokenizer_config.json") or folder
    if not named:
        named = _read_config_templates(tokenizer_config.get("chat_template"), origin)
    default, tool_use = named.get("default"), named.get("tool_use")
    if default is None or not default.strip():
        found = "neither chat_template.jinja nor chat_template in tokenizer_config.json"
        raise ModelError(
            "no-chat-template",
            "model has no chat template",
            at=str(folder),
            got=(
                f"templates named {', '.join(sorted(named))}, none named default"
                if named
                else found
            ),
            hint=(
                "use the instruct (chat) variant of the model; or add its "
                "chat_template.jinja to the folder"
            ),
        )
    return ChatTemplates(default, default if tool_use is None else tool_use, str(origin))


def _read_template_files(files: Mapping[str, Path]) -> dict[str, str]:
    found = {"default": files[TEMPLATE_FILE]} if TEMPLATE_FILE in files else {}
    for name, path in files.items():
        if name.startswith(f"{TEMPLATE_FOLDER}/"):
            found[path.name.removesuffix(".jinja")] = path
    return {name: _read_template(path) for name, path in found.items()}


def _read_config_templates(value: Any, origin: Path) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    if isinstance(value, dict):
        value = [{"name": name, "template": text} for name, text in value.items()]
    entries = value if isinstance(value, list) else [None]
    # Older files have a list of {name, template}; incomplete entries are refused.
    pairs = [
        (entry.get("name"), entry.get("template")) for entry in entries if isinstance(entry, dict)
    ]
    named = {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}
    if len(named) == len(entries):
        return named
    raise ModelError(
        "broken-settings",
        "chat template is neither a string nor a list of named strings",
        at=str(origin),
        got=f"chat_template is {str(value)[:80]!r}",
        hint="download the file again",
    )


def _read_template(path: Path) -> str:
    """The template's text with universal newlines, because transformers opens it in text mode."""
    raw = read_regular_file(path, MAX_TEMPLATE_BYTES)
    try:
        return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ModelError(
            "bad-template",
            "chat template is not UTF-8",
            at=str(path),
            got=f"byte {error.start} cannot be decoded",
            hint="save it as UTF-8; or download the file again",
        ) from None
