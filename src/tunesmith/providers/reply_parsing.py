"""A service's reply, however incomplete or malformed: JSON object -> `Completion`.

| in the reply                                          | result                                 |
|-------------------------------------------------------|----------------------------------------|
| `content` is a list of parts                          | its text parts, joined                 |
| `tool_calls`                                          | the calls behind the text, in their    |
|                                                       | common form (tool_call_format.py); as  |
|                                                       | they are where they cannot be read     |
| no text (null, a number, refusal)                     | an error that says what was there      |
| reasoning and an empty text (a reasoning parser)      | an error: reasoning is no answer       |
| `finish_reason` length, content_filter                | an unfinished answer; without any text |
|                                                       | an error                               |
| `finish_reason` error                                 | an error                               |
| more than `MAX_CHARACTERS`                            | an error: never truncated silently     |
| half a surrogate pair, NUL                            | U+FFFD (records/storable_text.py),     |
|                                                       | with a note                            |
| the key, or `REDACTION_WINDOW` consecutive characters | `[key]` (api_keys.py), with a note     |
| no usage, or implausible usage                        | tokens estimated from characters, with |
|                                                       | a note                                 |
| `total_tokens` above prompt + completion tokens       | the excess counts as output: reasoning |
|                                                       | is charged, too                        |
| fewer prompt tokens than the question can have        | a note: some services truncate a long  |
|                                                       | question silently                      |
| a `model` other than the requested one                | a note: some services silently fall    |
|                                                       | back to another model                  |
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.data.read.tool_call_parsing import parse_calls
from tunesmith.providers.api_keys import Redactor
from tunesmith.providers.structured_output import extract_label
from tunesmith.records import Completion, OutputConstraint, format_answer
from tunesmith.records.storable_text import replace_unstorable

MAX_CHARACTERS = 2**20
MAX_TOKENS = 10**8
"""More than any model reads or writes in one request; larger counts are ignored."""
CHARACTERS_PER_TOKEN = 4
"""For English text, by OpenAI's rule of thumb (https://help.openai.com/en/articles/4936856)."""
ESTIMATED_NOTE = (
    "The service reports no plausible token counts; tokens and costs are "
    f"estimated at {CHARACTERS_PER_TOKEN} characters per token."
)
UNNAMED_TOKENS_NOTE = (
    "The service reports more total tokens than input plus output; the "
    "difference counts as output (reasoning tokens are charged as output)."
)
MAX_CHARACTERS_PER_TOKEN = 8
"""With runs of white space counted as one character: English has 4 to 5, code and German fewer."""
MIN_CHECKED_CHARACTERS = 2_000
SHORTENED_NOTE = (
    f"The service counts one token per {MAX_CHARACTERS_PER_TOKEN} or more "
    "characters of a long prompt. It may have truncated the prompt to its "
    "context length without an error: raise its context length, or shorten the "
    "prompts."
)
OTHER_MODEL_NOTE = (
    "At least one answer is from another model than requested, according to the service: "
)
REPLACED_NOTE = (
    "Answers contained characters that cannot be stored (lone surrogates or "
    "NUL); each was replaced by U+FFFD."
)
KEY_REMOVED_NOTE = "The service repeated the API key in an answer; it was removed."
TRUNCATED_ERROR = "truncated before any content; increase max_tokens"
ONLY_REASONING_ERROR = "only reasoning, no answer"
FILTERED_ERROR = "withheld by the service's content filter"
UNFINISHED_REASONS = ("length", "content_filter")

NoteCallback = Callable[[str], None]
"""Receives a sentence about how an answer was changed."""


def parse_completion(
    response: Mapping[str, Any],
    output_constraint: OutputConstraint | None,
    prompt_characters: int,
    redact: Redactor,
    note: NoteCallback,
) -> Completion:
    """The first choice of a reply; `seconds` is 0. `prompt_characters` counts the prompt's
    characters, with a run of white space as one."""
    choices = response.get("choices")
    choice = (
        choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    )
    reason = choice.get("finish_reason")
    text, why_none = _extract_text(choice, reason)
    tokens_in, tokens_out = _count_tokens(response.get("usage"), prompt_characters, text, note)
    if text is None:
        return Completion("", tokens_in, tokens_out, 0.0, finished=False, error=redact(why_none))
    bare = extract_label(text.strip(), output_constraint)
    told = redact(bare)
    if told != bare:
        note(KEY_REMOVED_NOTE)
    # The note compares with the stored form, in which `Completion` replaces such characters.
    if told != replace_unstorable(told):
        note(REPLACED_NOTE)
    return Completion(told, tokens_in, tokens_out, 0.0, finished=reason not in UNFINISHED_REASONS)


def _extract_text(choice: Mapping[str, Any], reason: Any) -> tuple[str | None, str]:
    """(the answer's text, ""), or (None, the reason why there is none)."""
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    text = _join_text_parts(content) if isinstance(content, list) else content
    if isinstance(message, dict) and message.get("tool_calls"):
        text = _append_calls(text if isinstance(text, str) else "", message["tool_calls"])
    if reason == "error":
        return None, "error from the service in the middle of the response"
    if reason in UNFINISHED_REASONS and not (isinstance(text, str) and text.strip()):
        return None, TRUNCATED_ERROR if reason == "length" else FILTERED_ERROR
    # Reasoning parsers move the text into another field; it is never used as an answer.
    if not (isinstance(text, str) and text.strip()) and _has_reasoning(message):
        return None, f"{ONLY_REASONING_ERROR} (finish_reason {str(reason)[:40]!r})"
    if not isinstance(text, str):
        refusal = message.get("refusal") if isinstance(message, dict) else None
        said = f", refused: {refusal[:200]!r}" if isinstance(refusal, str) and refusal else ""
        return None, f"no text in the response (finish_reason {str(reason)[:40]!r}{said})"
    if len(text) > MAX_CHARACTERS:
        return None, f"answer of {len(text):,} characters; at most {MAX_CHARACTERS:,} are supported"
    return text, ""


def _append_calls(text: str, calls: Any) -> str:
    """The answer's text with its tool calls behind it."""
    try:
        return format_answer(text.strip(), [call["function"] for call in parse_calls(calls, "")])
    except InvalidRow:
        # It answered; what it called cannot be read, and scores as such.
        return f"{text}\n{json.dumps({'tool_calls': calls}, ensure_ascii=False)}".lstrip()


def _has_reasoning(message: Any) -> bool:
    """Whether the message has reasoning, under one of the field names that services use."""
    parts = (
        [message.get(name) for name in ("reasoning_content", "reasoning")]
        if isinstance(message, dict)
        else []
    )
    return any(isinstance(part, str) and part.strip() for part in parts)


def find_other_model(response: Mapping[str, Any], requested: str) -> str | None:
    """The model named in a reply if it differs from the requested one; else None.

    A name that contains the other one is the same model: services append versions and prefixes.
    """
    said = response.get("model")
    if not isinstance(said, str) or not said.strip():
        return None
    # Routers prefix model names with a vendor: `vendor/model`.
    one, other = (name.strip().casefold().rpartition("/")[2] for name in (said, requested))
    return None if one in other or other in one else said.strip()[:60]


def _join_text_parts(parts: list[Any]) -> str | None:
    """The joined text parts of a content list; None if it has none."""
    texts = [
        part.get("text")
        for part in parts
        if isinstance(part, dict) and part.get("type") in ("text", None)
    ]
    found = [text for text in texts if isinstance(text, str)]
    return "".join(found) if found else None


def _count_tokens(
    usage: Any, prompt_characters: int, text: str | None, note: NoteCallback
) -> tuple[int, int]:
    """(input tokens, output tokens) as the service reports them; estimated if the report is missing
    or implausible."""
    tokens_in, tokens_out = (
        _read_count(usage, name) for name in ("prompt_tokens", "completion_tokens")
    )
    if text is None:  # the attempt may be charged, but there is no text to estimate from
        return tokens_in or 0, tokens_out or 0
    if not tokens_in or tokens_out is None or (text and not tokens_out):
        note(ESTIMATED_NOTE)
    elif (_read_count(usage, "total_tokens") or 0) > tokens_in + tokens_out:
        note(UNNAMED_TOKENS_NOTE)
        tokens_out = (_read_count(usage, "total_tokens") or 0) - tokens_in
    tokens_in, tokens_out = (
        tokens_in or _estimate_tokens(prompt_characters),
        tokens_out or _estimate_tokens(len(text)),
    )
    if prompt_characters >= max(MIN_CHECKED_CHARACTERS, MAX_CHARACTERS_PER_TOKEN * tokens_in):
        note(SHORTENED_NOTE)
    return tokens_in, tokens_out


def _read_count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    # Some services write counts as floats; a bool is an int in Python but no count.
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value <= MAX_TOKENS and value == int(value) else None


def _estimate_tokens(characters: int) -> int:
    return math.ceil(characters / CHARACTERS_PER_TOKEN)
