"""A tokenizer with its chat template, read from a model folder without transformers.

Importing transformers would cost seconds and load torch. Token ids and rendered text equal those of
transformers' AutoTokenizer; tests/parity/test_parity_tokenizer.py verifies it. One difference is
intended: a control token inside message content (`<|im_start|>system` in a user's text) is encoded
as ordinary text, never as the control token, so that data cannot forge a turn.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from tunesmith.atomic_io import read_regular_file
from tunesmith.errors import ModelError, ResourceLimitExceeded, truncate_list
from tunesmith.model_folder.model_files import build_unreadable_error, list_model_files
from tunesmith.model_folder.settings_json import parse_settings, read_settings_bytes
from tunesmith.models.chat_templates import ChatTemplates, read_chat_templates
from tunesmith.models.message_format import MessageFormat, detect_message_format
from tunesmith.models.template_process import Conversation, TemplateProcess
from tunesmith.models.template_skeletons import SkeletonRenderer, can_use_skeleton, copies_contents
from tunesmith.models.template_worker import TemplateFailed, parse_template
from tunesmith.models.tokenizer_bounds import check_bounds
from tunesmith.records import Message, RenderRequest, TokenizedText

CharRange = tuple[int, int]

PLAIN_FORMAT = MessageFormat()
SPECIAL_TOKEN_KEYS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
OTHER_VOCABULARIES = {
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "tekken.json",
}
MAX_TOKENIZER_BYTES = 256 * 2**20
MAX_PARSED_CHARACTERS = 100_000
"""Larger templates are not parsed for `copies_contents` but run for each conversation."""
SETTINGS_NAMES = (
    "tokenizer_config",
    "special_tokens_map",
    "added_tokens",
    "generation_config",
    "config",
)
PROBE_ANSWER = "tunesmith probe answer"
PROBE_MESSAGES = [
    {"role": "user", "content": "tunesmith probe question"},
    {"role": "assistant", "content": PROBE_ANSWER},
]


@dataclass(frozen=True)
class _PendingRenders:
    """Renderings in progress, found by the `id()` of their messages.

    `requests` keeps those messages alive, so that no other object can get the same id.
    """

    positions: dict[tuple[object, ...], tuple[int, int]]
    requests: Sequence[RenderRequest]
    texts: Future[list[list[str | TemplateFailed]]]


@dataclass(eq=False)
class FolderTokenizer:
    """A `records.ChatTokenizer`, created by `load_tokenizer`.

    `stop_ids` are the tokens that end generation: the end of a turn, then the folder's own end
    tokens. `special_tokens` is what templates see as `bos_token`, `eos_token`...; `origin` is the
    path of the chat template.
    """

    core: Tokenizer
    templates: TemplateProcess
    origin: str
    special_tokens: dict[str, str]
    bos_id: int | None
    pad_id: int | None
    end_of_turn_id: int
    end_of_turn: str
    stop_ids: tuple[int, ...]
    control_tokens: tuple[str, ...]
    tokenizer_sha256: str
    template_sha256: str
    ids_without_embedding: frozenset[int] = frozenset()
    text_prefix: str = ""
    uses_current_date: bool = False
    _formats: dict[str, MessageFormat] = field(default_factory=dict, repr=False)
    _pending: list[_PendingRenders] = field(default_factory=list, repr=False)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] = (),
        *,
        open_answer: bool = False,
    ) -> str:
        """The conversation as the model reads it; with `open_answer`, up to the assistant's answer.

        Errors: `ModelError` when the template refuses the conversation; `ResourceLimitExceeded`
        when it takes too much time or memory.
        """
        # From cheapest to most expensive: paste into a skeleton, take a finished batch, render now.
        known: str | TemplateFailed | None = None
        if self._skeleton_renderer is not None and not tools:
            known = self._skeleton_renderer.render(messages, open_answer=open_answer)
        if known is None:
            known = self._find_pending(_make_render_key(messages, tools, open_answer))
        if known is None:
            (known,) = self._render_now([(messages, tools, [(len(messages), open_answer)])])[0]
        if not isinstance(known, TemplateFailed):
            return known
        raise ModelError(
            "template-refused",
            "chat template does not accept this conversation",
            at=self.origin,
            got=f"{known}; roles {', '.join(message.role for message in messages)}",
            hint="change the conversation; or choose another model",
        )

    def render_ahead(self, requests: Sequence[RenderRequest]) -> None:
        """Start rendering what `render` will soon need; the last two calls are remembered.

        The template's process works while this one continues. `render` raises any error.
        """
        if self._skeleton_renderer is not None:
            requests = [one for one in requests if one[1] or not can_use_skeleton(one[0])]
        if not requests:
            return
        places = {
            _make_render_key(messages[:count], tools, is_open): (i, j)
            for i, (messages, tools, beginnings) in enumerate(requests)
            for j, (count, is_open) in enumerate(beginnings)
        }
        # The previous call is stored too: its results may still be read while this batch renders.
        self._pending = [
            *self._pending[-1:],
            _PendingRenders(places, requests, self._worker.submit(self._render_now, requests)),
        ]

    def _find_pending(self, key: tuple[object, ...]) -> str | TemplateFailed | None:
        for ahead in self._pending:
            if key in ahead.positions:
                i, j = ahead.positions[key]
                return ahead.texts.result()[i][j]
        return None

    def copies_contents(self, messages: Sequence[Message]) -> bool:
        """Whether the text follows from the roles of these messages, with contents copied in."""
        return self._skeleton_renderer is not None and can_use_skeleton(messages)

    @cached_property
    def _skeleton_renderer(self) -> SkeletonRenderer | None:
        """Renders plain conversations without running the template, where it copies contents."""
        template = self.templates.get_template("default")
        if len(template) > MAX_PARSED_CHARACTERS or not copies_contents(parse_template(template)):
            return None
        return SkeletonRenderer(self._render_plain)

    def _render_plain(self, messages: Sequence[Message], open_answer: bool) -> str | None:
        ((text,),) = self._render_now([(messages, (), [(len(messages), open_answer)])])
        return None if isinstance(text, TemplateFailed) else text

    @cached_property
    def _worker(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "templates")

    def _render_now(self, requests: Sequence[RenderRequest]) -> list[list[str | TemplateFailed]]:
        try:
            asked = [
                Conversation(
                    name,
                    self._get_message_format(name, messages).format_messages(messages),
                    tools,
                    beginnings,
                )
                for messages, tools, beginnings in requests
                for name in ["tool_use" if tools else "default"]
            ]
            return self.templates.render(asked)
        except TemplateFailed as over:
            raise ResourceLimitExceeded(
                "template-over-limit",
                "chat template exceeds its time or memory limit",
                at=self.origin,
                got=str(over),
                hint="use the template published by the model's authors",
            ) from None

    def _get_message_format(self, name: str, messages: Sequence[Message]) -> MessageFormat:
        """The form in which the template reads messages; only tool calls have several forms."""
        if not any(message.tool_calls for message in messages):
            return PLAIN_FORMAT
        if name not in self._formats:
            self._formats[name] = detect_message_format(self.templates, name)
        return self._formats[name]

    def encode(
        self, texts: Sequence[str], content: Sequence[Sequence[CharRange]] | None = None
    ) -> list[TokenizedText]:
        """Token ids of rendered texts, with nothing added or truncated.

        `content`: for each text the character ranges of message contents, in which control tokens
        are encoded as ordinary text.
        """
        encodings = self.core.encode_batch(list(texts), add_special_tokens=False)
        encoded = [TokenizedText(encoding.ids, encoding.offsets) for encoding in encodings]
        if self._control_pattern is None:
            return encoded
        for i, ranges in enumerate(content or ()):
            # Rare, so the batch above encodes everything and only affected texts are encoded again.
            if any(True for _ in self._find_control_tokens(texts[i], ranges)):
                encoded[i] = self._encode_without_controls(texts[i], ranges, encodings[i])
        return encoded

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids, without control tokens."""
        return str(self.core.decode(list(ids), skip_special_tokens=True))

    @cached_property
    def _control_pattern(self) -> re.Pattern[str] | None:
        # `|` takes the first alternative that matches: a token must come before its own prefix.
        longest_first = sorted(self.control_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def _find_control_tokens(self, text: str, ranges: Sequence[CharRange]) -> Iterator[CharRange]:
        """The positions of control tokens in message contents; a partial overlap counts."""
        assert self._control_pattern is not None
        for match in self._control_pattern.finditer(text):
            if any(begin < match.end() and match.start() < end for begin, end in ranges):
                yield match.span()

    def _encode_without_controls(
        self, text: str, ranges: Sequence[CharRange], plain: Encoding
    ) -> TokenizedText:
        """Keep the real control tokens of `plain`; encode the stretches between them literally.

        Stretches that spell no control token keep the tokens they have.
        """
        spelled = list(self._find_control_tokens(text, ranges))
        ids: list[int] = []
        offsets: list[CharRange] = []
        stretch = 0  # first token after the last true control token
        for t in range(len(plain.ids) + 1):
            is_end = t == len(plain.ids)
            if not is_end and not self._is_real_control(plain.ids[t], plain.offsets[t], spelled):
                continue
            # Stretches end at real control tokens, where the tokenizer splits the text anyway, so
            # encoding a stretch alone gives the same tokens as encoding it within the text.
            begin = plain.offsets[stretch - 1][1] if stretch else 0
            end = len(text) if is_end else plain.offsets[t][0]
            if any(begin <= left and right <= end for left, right in spelled):
                inner = self._get_literal_tokenizer(begin).encode(
                    text[begin:end], add_special_tokens=False
                )
                ids += inner.ids
                offsets += [(begin + left, begin + right) for left, right in inner.offsets]
            else:
                ids += plain.ids[stretch:t]
                offsets += plain.offsets[stretch:t]
            ids += plain.ids[t : t + 1]
            offsets += plain.offsets[t : t + 1]
            stretch = t + 1
        return TokenizedText(ids, offsets)

    def _is_real_control(self, id: int, offset: CharRange, spelled: list[CharRange]) -> bool:
        return id in self._control_ids and not any(
            offset[0] <= left and right <= offset[1] for left, right in spelled
        )

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(
            id for id, token in self.core.get_added_tokens_decoder().items() if token.special
        )

    def _get_literal_tokenizer(self, begin: int) -> Tokenizer:
        """A tokenizer that recognizes no control token; inside a text it adds no first space."""
        return self._literal_inside if begin else self._literal_first

    @cached_property
    def _literal_first(self) -> Tokenizer:
        return _copy_as_literal(json.loads(self.core.to_str()))

    @cached_property
    def _literal_inside(self) -> Tokenizer:
        # Metaspace "first" (SentencePiece) puts a space before the first word of a text; a stretch
        # inside the text must not get one.
        parts = json.loads(self.core.to_str())
        pre = parts.get("pre_tokenizer") or {}
        for step in (pre, *pre.get("pretokenizers", ())):
            if step.get("type") == "Metaspace" and step.get("prepend_scheme") == "first":
                step["prepend_scheme"] = "never"
        return _copy_as_literal(parts)


def load_tokenizer(folder: Path | str, adapter: Path | str | None = None) -> FolderTokenizer:
    """The tokenizer of a model folder, or that of the adapter's folder if it has its own.

    Errors: `ModelError` when tokenizer.json, a chat template or an end token is missing, or the
    template fails on a short conversation; `ResourceLimitExceeded` when it is too expensive.
    """
    files = list_model_files(Path(folder), Path(adapter) if adapter else None)
    try:
        core, tokenizer_sha256 = _read_tokenizer(Path(folder), files)
        settings = {name: _read_json(files.get(f"{name}.json")) for name in SETTINGS_NAMES}
        templates = read_chat_templates(Path(folder), files, settings["tokenizer_config"])
    except OSError as error:
        raise build_unreadable_error(Path(folder), error) from None
    named = _read_special_tokens(settings, Path(folder))
    _check_added_tokens(core, settings, named, Path(folder))
    controls = tuple(
        token.content for token in core.get_added_tokens_decoder().values() if token.special
    )
    # The variables that transformers passes to a template, with the same names.
    process = TemplateProcess(
        {"default": templates.default, "tool_use": templates.tool_use}, {**named, "documents": None}
    )
    ends = _list_end_ids(settings, core, named)
    end_id = _get_token_id(core, _find_end_of_turn(process, templates, controls))
    beyond = _find_ids_without_embedding(core, settings["config"])
    # dict.fromkeys removes duplicates and keeps the order: the first id is the end of a turn.
    stop_ids = tuple(dict.fromkeys(ends if end_id is None else [end_id, *ends]))
    if not stop_ids:
        raise ModelError(
            "no-end-token",
            "no end-of-turn token found",
            at=str(folder),
            got="no control token after the answer in the chat template, and no eos_token",
            hint="set eos_token in tokenizer_config.json to the value that the model's "
            "authors document",
        )
    _check_embedding_rows(
        core, beyond & {stop_ids[0], _get_token_id(core, named.get("bos_token"))}, Path(folder)
    )
    return FolderTokenizer(
        core=core,
        templates=process,
        origin=templates.origin,
        special_tokens=named,
        bos_id=_get_token_id(core, named.get("bos_token")),
        pad_id=_get_token_id(core, named.get("pad_token")),
        end_of_turn_id=stop_ids[0],
        end_of_turn=str(core.id_to_token(stop_ids[0])),
        stop_ids=stop_ids,
        control_tokens=controls,
        tokenizer_sha256=tokenizer_sha256,
        template_sha256=templates.sha256,
        ids_without_embedding=beyond,
        text_prefix=_find_text_prefix(core),
        uses_current_date=any(
            "strftime_now" in text for text in (templates.default, templates.tool_use)
        ),
    )


def _read_tokenizer(folder: Path, files: Mapping[str, Path]) -> tuple[Tokenizer, str]:
    """(the tokenizer, SHA-256 of its file), with truncation and padding turned off."""
    path = files.get("tokenizer.json")
    if path is None:
        others = sorted(files.keys() & OTHER_VOCABULARIES)
        raise ModelError(
            "no-tokenizer",
            "model has no tokenizer",
            at=str(folder / "tokenizer.json"),
            got=f"no such file, only {', '.join(others)}" if others else "no such file",
            hint=(
                (
                    'create it: python -c "from transformers import AutoTokenizer as T; '
                    'T.from_pretrained(FOLDER).save_pretrained(FOLDER)"'
                )
                if others
                else "choose a model that has a tokenizer.json"
            ),
        )
    raw = read_regular_file(path, MAX_TOKENIZER_BYTES)
    try:
        # utf-8-sig: some editors save a byte-order mark, at which the Rust parser fails.
        core = Tokenizer.from_str(raw.decode("utf-8-sig"))
    except Exception as error:  # the library raises a bare Exception for a file that it cannot read
        raise ModelError(
            "broken-tokenizer",
            "cannot read the tokenizer",
            at=str(path),
            got=str(error)[:200],
            hint="download the file again",
        ) from None
    check_bounds(core, path)
    core.no_truncation()
    core.no_padding()
    return core, hashlib.sha256(raw).hexdigest()


def _make_render_key(
    messages: Sequence[Message], tools: Sequence[dict[str, Any]], open_answer: bool
) -> tuple[object, ...]:
    return (*map(id, messages), id(tools) if tools else 0, open_answer)


def _copy_as_literal(parts: dict[str, Any]) -> Tokenizer:
    core = Tokenizer.from_str(json.dumps(parts))
    core.encode_special_tokens = True
    return core


def _read_json(path: Path | None) -> dict[str, Any]:
    raw = read_settings_bytes(path) if path else None
    return parse_settings(raw, path) if path and raw is not None else {}


def _read_special_tokens(settings: dict[str, dict[str, Any]], folder: Path) -> dict[str, str]:
    """bos_token, eos_token... as text. Errors: `ModelError` for a value that is not text."""
    named: dict[str, str] = {}
    for name in SPECIAL_TOKEN_KEYS:
        for place in ("tokenizer_config", "special_tokens_map"):
            # An object instead of a text is a serialized AddedToken.
            given = settings[place].get(name)
            found = given.get("content") if isinstance(given, dict) else given
            if given is not None and not isinstance(found, str):
                raise ModelError(
                    "bad-token-setting",
                    "control token is neither a string nor an object",
                    at=str(folder / f"{place}.json"),
                    got=(
                        f'{name}: {str(given)[:80]} (expected a string or an object with "content")'
                    ),
                    hint="download the file again; or set the value that the model's authors "
                    "document",
                )
            if isinstance(found, str) and found:
                named.setdefault(name, found)
    return named


def _list_end_ids(
    settings: dict[str, dict[str, Any]], core: Tokenizer, named: dict[str, str]
) -> list[int]:
    """Ids of the tokens that the folder declares as end of an answer, generation settings first."""
    listed = settings["generation_config"].get(
        "eos_token_id", settings["config"].get("eos_token_id")
    )
    ids = [
        *(listed if isinstance(listed, list) else [listed]),
        _get_token_id(core, named.get("eos_token")),
    ]
    # `type(...) is int` excludes True; ids beyond 32 bits would overflow in the Rust library.
    numbers = dict.fromkeys(id for id in ids if type(id) is int and 0 <= id < 2**32)
    return [id for id in numbers if core.id_to_token(id) is not None]


def _find_ids_without_embedding(core: Tokenizer, config: Mapping[str, Any]) -> frozenset[int]:
    """Ids beyond the last row of the embedding. Extra rows are common (padding) and harmless."""
    text = config.get("text_config")
    rows = (text if isinstance(text, dict) else config).get("vocab_size", config.get("vocab_size"))
    if type(rows) is not int:
        return frozenset()
    return frozenset(id for id in core.get_vocab(with_added_tokens=True).values() if id >= rows)


def _check_embedding_rows(core: Tokenizer, beyond: Set[int | None], folder: Path) -> None:
    if beyond:
        named = [
            f"{core.id_to_token(id)} (id {id:,})"
            for id in sorted(id for id in beyond if id is not None)
        ]
        raise ModelError(
            "tokenizer-misfit",
            "tokenizer has control tokens without an embedding row in the model",
            at=str(folder),
            got=truncate_list(named),
            hint=(
                "use the tokenizer that belongs to these weights; or weights whose embedding "
                "was resized for it"
            ),
        )


def _find_text_prefix(core: Tokenizer) -> str:
    """The control token that tokenizer.json itself prepends, as transformers does for plain texts.

    Returns an empty string when there is none.
    """
    with_them = core.encode("a").ids
    without = core.encode("a", add_special_tokens=False).ids
    # When the text's ids are not a suffix, something was appended too: check the first id only.
    added = (
        with_them[: len(with_them) - len(without)]
        if with_them[-len(without) :] == without
        else with_them[:1]
    )
    first = core.id_to_token(added[0]) if added and added[0] not in without else None
    return first or ""


def _check_added_tokens(
    core: Tokenizer, settings: Mapping[str, dict[str, Any]], named: Mapping[str, str], folder: Path
) -> None:
    """Refuse tokens that the settings declare but tokenizer.json lacks.

    transformers would add them, so that texts with them would get other ids there. Pad, unknown,
    mask, separator and class tokens are exempt: they appear in no text. Errors: `ModelError`.
    """
    told = settings["tokenizer_config"].get("added_tokens_decoder")
    added = [
        token.get("content")
        for token in (told if isinstance(told, dict) else {}).values()
        if isinstance(token, dict)
    ]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        for place in ("tokenizer_config", "special_tokens_map"):
            more = settings[place].get(key)
            listed = (
                more.values() if isinstance(more, dict) else more if isinstance(more, list) else ()
            )
            added += [
                token.get("content") if isinstance(token, dict) else token for token in listed
            ]
    names = dict.fromkeys(
        name for name in (*settings["added_tokens"], *added) if isinstance(name, str) and name
    )
    unwritten = {
        named.get(role)
        for role in ("pad_token", "unk_token", "mask_token", "sep_token", "cls_token")
    }
    known = {token.content for token in core.get_added_tokens_decoder().values()} | unwritten
    # A name that already is one token of the vocabulary changes nothing when it is added.
    split = [
        name
        for name in names
        if name not in known and len(core.encode(name, add_special_tokens=False).ids) > 1
    ]
    if split:
        raise ModelError(
            "tokens-beside",
            "tokenizer settings name tokens that tokenizer.json lacks",
            at=str(folder),
            got=truncate_list([repr(name[:40]) for name in split]),
            hint=(
                'save it again: python -c "from transformers import AutoTokenizer as T; '
                'T.from_pretrained(FOLDER).save_pretrained(FOLDER)"; the model needs an '
                "embedding row for each token"
            ),
        )


def _get_token_id(core: Tokenizer, token: str | None) -> int | None:
    return None if token is None else core.token_to_id(token)


def _find_end_of_turn(
    process: TemplateProcess, templates: ChatTemplates, controls: tuple[str, ...]
) -> str | None:
    """The first control token after an assistant's answer in a short rendered conversation."""
    try:
        ((text,),) = process.render(
            [Conversation("default", PROBE_MESSAGES, (), [(len(PROBE_MESSAGES), False)])]
        )
    except TemplateFailed as over:
        text = over
    if isinstance(text, TemplateFailed):
        raise ModelError(
            "bad-template",
            "chat template cannot render a question with its answer",
            at=templates.origin,
            got=str(text),
            hint="use the template published by the model's authors",
        )
    _, found, after = text.rpartition(PROBE_ANSWER)
    places = {token: after.find(token) for token in controls if token in after} if found else {}
    # At the same place the longest token wins, as in the tokenizer.
    return min(places, key=lambda token: (places[token], -len(token)), default=None)
