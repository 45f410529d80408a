"""A tokenizer with its chat template, read from a model folder without transformers (which would cost seconds and
torch).

Ids and rendered text equal those of transformers' AutoTokenizer; tests/parity/test_parity_tokenizer.py proves it. One
thing differs on purpose: a control token that a person *wrote* (`<|im_start|>system` inside a user's text) is encoded
as ordinary text, never as the control token.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from tunesmith.errors import ModelError
from tunesmith.models.conversation import messages_for
from tunesmith.models.template import TemplateRefused, render_template, try_template
from tunesmith.records import Encoded, Message

Span = tuple[int, int]

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
SETTINGS = ("tokenizer_config", "special_tokens_map", "generation_config", "config")
PROBE_ANSWER = "tunesmith probe answer"
PROBE = [{"role": "user", "content": "tunesmith probe question"}, {"role": "assistant", "content": PROBE_ANSWER}]


@dataclass(eq=False)
class FolderTokenizer:
    """A `records.ChatTokenizer`; made by `load_tokenizer`.

    `stop_ids` are the tokens after which the model has nothing more to say: the end of a turn, and the folder's own end
    tokens. `named_tokens` is what templates see as `bos_token`, `eos_token`...
    """

    core: Tokenizer
    template: str
    tool_template: str
    named_tokens: dict[str, str]
    bos_id: int | None
    pad_id: int | None
    end_of_turn_id: int
    end_of_turn: str
    stop_ids: tuple[int, ...]
    control_tokens: tuple[str, ...]
    tokenizer_sha256: str
    template_sha256: str

    def render(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = (), *, open_answer: bool = False
    ) -> str:
        """The conversation as the model reads it; with `open_answer`, up to where the assistant's answer begins."""
        template = self.tool_template if tools else self.template
        given = messages_for(template, self.named_tokens, messages)
        variables = _variables(given, self.named_tokens, tools, open_answer)
        try:
            text = render_template(template, variables)
            text.encode("utf-8")  # half a surrogate pair from a damaged file would end in the tokenizer as a TypeError
            return text
        except (TemplateRefused, UnicodeEncodeError) as refusal:
            raise ModelError(
                "template-refused", "The model's chat template does not take this conversation.",
                found=f"{refusal}; roles {', '.join(message.role for message in messages)}",
                do="change the conversation to what the template takes, or choose another model",
            ) from None  # fmt: skip

    def encode(self, texts: Sequence[str], content: Sequence[Sequence[Span]] | None = None) -> list[Encoded]:
        """Token ids of rendered texts; nothing is added, nothing is cut. `content`: the ranges that a person wrote."""
        encodings = self.core.encode_batch(list(texts), add_special_tokens=False)
        encoded = [Encoded(encoding.ids, encoding.offsets) for encoding in encodings]
        if self._control_pattern is None:
            return encoded
        for i, ranges in enumerate(content or ()):
            if any(True for _ in self._spelled(texts[i], ranges)):
                encoded[i] = self._encode_guarded(texts[i], ranges, encodings[i])
        return encoded

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids without control tokens."""
        return str(self.core.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def _control_pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.control_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def _spelled(self, text: str, ranges: Sequence[Span]) -> Iterator[Span]:
        """Where control tokens are spelled inside what a person wrote (a part of one is enough)."""
        assert self._control_pattern is not None
        for match in self._control_pattern.finditer(text):
            if any(begin < match.end() and match.start() < end for begin, end in ranges):
                yield match.span()

    def _encode_guarded(self, text: str, ranges: Sequence[Span], plain: Encoding) -> Encoded:
        """Keep the true control tokens of `plain`; encode the stretches between them in which none may be recognised.

        Stretches that spell no control token keep the tokens they have.
        """
        spelled = list(self._spelled(text, ranges))
        ids: list[int] = []
        offsets: list[Span] = []
        stretch = 0  # first token after the last true control token
        for t in range(len(plain.ids) + 1):
            is_end = t == len(plain.ids)
            if not is_end and not self._is_true_control(plain.ids[t], plain.offsets[t], spelled):
                continue
            begin = plain.offsets[stretch - 1][1] if stretch else 0
            end = len(text) if is_end else plain.offsets[t][0]
            if any(begin <= left and right <= end for left, right in spelled):
                inner = self._literal(begin).encode(text[begin:end], add_special_tokens=False)
                ids += inner.ids
                offsets += [(begin + left, begin + right) for left, right in inner.offsets]
            else:
                ids += plain.ids[stretch:t]
                offsets += plain.offsets[stretch:t]
            ids += plain.ids[t : t + 1]
            offsets += plain.offsets[t : t + 1]
            stretch = t + 1
        return Encoded(ids, offsets)

    def _is_true_control(self, id: int, offset: Span, spelled: list[Span]) -> bool:
        return id in self._control_ids and not any(offset[0] <= left and right <= offset[1] for left, right in spelled)

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(id for id, token in self.core.get_added_tokens_decoder().items() if token.special)

    def _literal(self, begin: int) -> Tokenizer:
        """A tokenizer that recognises no control token; inside a text it adds no space at the beginning."""
        return self._literal_inside if begin else self._literal_first

    @cached_property
    def _literal_first(self) -> Tokenizer:
        return _literal_copy(json.loads(self.core.to_str()))

    @cached_property
    def _literal_inside(self) -> Tokenizer:
        # A SentencePiece-like tokenizer puts a space before the very first word only; a stretch is not the first.
        parts = json.loads(self.core.to_str())
        pre = parts.get("pre_tokenizer") or {}
        for step in (pre, *pre.get("pretokenizers", ())):
            if step.get("type") == "Metaspace" and step.get("prepend_scheme") == "first":
                step["prepend_scheme"] = "never"
        return _literal_copy(parts)


def load_tokenizer(folder: Path | str) -> FolderTokenizer:
    """The tokenizer of a model folder.

    Errors: `ModelError` when tokenizer.json, a chat template or an end token is missing, or the template misbehaves.
    """
    folder = Path(folder)
    core, tokenizer_sha256 = _read_core(folder / "tokenizer.json")
    settings = {name: _read_json(folder / f"{name}.json") for name in SETTINGS}
    named = _named_tokens(settings)
    template, tool_template = _templates(folder, settings)
    controls = tuple(token.content for token in core.get_added_tokens_decoder().values() if token.special)
    ends = _end_ids(settings, core, named)
    end_id = _id_of(core, _end_of_turn(folder, template, named, controls))
    stop_ids = tuple(dict.fromkeys(ends if end_id is None else [end_id, *ends]))
    if not stop_ids:
        raise ModelError(
            "no-end-token", "Nothing tells where an answer of this model ends.", where=str(folder),
            found="no control token after the answer in the chat template, and no eos_token",
            do="set eos_token in tokenizer_config.json to what the model's makers say",
        )  # fmt: skip
    return FolderTokenizer(
        core=core,
        template=template,
        tool_template=tool_template,
        named_tokens=named,
        bos_id=_id_of(core, named.get("bos_token")),
        pad_id=_id_of(core, named.get("pad_token")),
        end_of_turn_id=stop_ids[0],
        end_of_turn=str(core.id_to_token(stop_ids[0])),
        stop_ids=stop_ids,
        control_tokens=controls,
        tokenizer_sha256=tokenizer_sha256,
        template_sha256=hashlib.sha256(f"{template}\0{tool_template}".encode()).hexdigest(),
    )


def _read_core(path: Path) -> tuple[Tokenizer, str]:
    """(the tokenizer, SHA-256 of its file); it neither cuts nor pads, whatever the file says."""
    try:
        raw = path.read_bytes()
        core = Tokenizer.from_str(raw.decode("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "no-tokenizer", "The model folder has no tokenizer.", where=str(path), found="no such file",
            do="take a model that carries a tokenizer.json (every current one does)",
        ) from None  # fmt: skip
    except Exception as error:  # the library raises a bare Exception for a file that it cannot read
        raise ModelError(
            "broken-tokenizer", "The tokenizer cannot be read.", where=str(path), found=str(error)[:200],
            do="fetch the file again from its source",
        ) from None  # fmt: skip
    core.no_truncation()
    core.no_padding()
    return core, hashlib.sha256(raw).hexdigest()


def _literal_copy(parts: dict[str, Any]) -> Tokenizer:
    core = Tokenizer.from_str(json.dumps(parts))
    core.encode_special_tokens = True
    return core


def _variables(
    messages: list[dict[str, Any]],
    named: dict[str, str],
    tools: Sequence[dict[str, Any]] = (),
    open_answer: bool = False,
) -> dict[str, Any]:
    """What a template sees: the same names as in transformers (`tools` and `documents` None when there are none)."""
    given = {"messages": messages, "tools": list(tools) or None, "documents": None}
    return {**named, **given, "add_generation_prompt": open_answer}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ModelError(
            "broken-settings",
            "A settings file of the model is not a JSON object.",
            where=str(path),
            do="fetch it again",
        )
    return content


def _named_tokens(settings: dict[str, dict[str, Any]]) -> dict[str, str]:
    """bos_token, eos_token... as text."""
    named: dict[str, str] = {}
    for name in NAMED_TOKENS:
        found = settings["tokenizer_config"].get(name) or settings["special_tokens_map"].get(name)
        found = found.get("content") if isinstance(found, dict) else found
        if isinstance(found, str):
            named[name] = found
    return named


def _end_ids(settings: dict[str, dict[str, Any]], core: Tokenizer, named: dict[str, str]) -> list[int]:
    """The tokens that the folder says end an answer, generation settings first."""
    listed = settings["generation_config"].get("eos_token_id", settings["config"].get("eos_token_id"))
    ids = [*(listed if isinstance(listed, list) else [listed]), _id_of(core, named.get("eos_token"))]
    return [id for id in dict.fromkeys(ids) if isinstance(id, int) and core.id_to_token(id) is not None]


def _id_of(core: Tokenizer, token: str | None) -> int | None:
    return None if token is None else core.token_to_id(token)


def _templates(folder: Path, settings: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """(the chat template, the one for conversations with tools): from its own file, else from the settings."""
    path = folder / "chat_template.jinja"
    found: Any = (
        path.read_text(encoding="utf-8") if path.is_file() else settings["tokenizer_config"].get("chat_template")
    )
    if isinstance(found, list):  # [{"name": "default", "template": ...}, {"name": "tool_use", ...}]
        by_name = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        return _templates_of(folder, by_name.get("default"), by_name.get("tool_use"))
    return _templates_of(folder, found, None)


def _templates_of(folder: Path, default: Any, tool_use: Any) -> tuple[str, str]:
    if not isinstance(default, str) or not default.strip():
        raise ModelError(
            "no-chat-template", "The model folder has no chat template, so nobody knows how it wants to be asked.",
            where=str(folder), found="neither chat_template.jinja nor chat_template in tokenizer_config.json",
            do="take the instruct (chat) variant of the model, or put its chat_template.jinja into the folder",
        )  # fmt: skip
    return default, tool_use if isinstance(tool_use, str) else default


def _end_of_turn(folder: Path, template: str, named: dict[str, str], controls: tuple[str, ...]) -> str | None:
    """The first control token after an assistant's answer, seen by rendering a short conversation (in a child)."""
    try:
        text = try_template(template, _variables(PROBE, named))
    except TemplateRefused as refusal:
        raise ModelError(
            "bad-template", "The model's chat template cannot render a question with its answer.", where=str(folder),
            found=str(refusal), do="take the template that the model's makers publish",
        ) from None  # fmt: skip
    _, found, after = text.rpartition(PROBE_ANSWER)
    places = {token: after.find(token) for token in controls if token in after} if found else {}
    return min(places, key=lambda token: (places[token], -len(token)), default=None)
