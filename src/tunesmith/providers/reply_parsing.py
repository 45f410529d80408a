"""What a service answered, whatever it left out or wrote wrongly: the JSON object of a reply -> a completion.

| in the reply                                          | what becomes of it                                          |
|-------------------------------------------------------|-------------------------------------------------------------|
| `content` is a list of parts                          | the text of its text parts, joined                          |
| no text at all (null, a number, tool calls, refusal)  | an error that says what was there                           |
| reasoning beside an empty text (a reasoning parser)   | an error: what was reasoned is no answer                    |
| `finish_reason` length, content_filter                | an answer that is not finished; without any text an error   |
| `finish_reason` error                                 | an error                                                    |
| more than `MAX_CHARACTERS`                           | an error: it is not cut in silence                          |
| half a surrogate pair, NUL                            | U+FFFD (records/storable_text.py), with a note                   |
| the key, or `WINDOW` characters of it in a row        | `[key]` (keys.py), with a note                              |
| no usage, or one that no request has                  | tokens estimated from characters, with a note               |
| `total_tokens` above prompt and completion together   | the rest counts as written: reasoning is charged, too       |
| fewer tokens read than the question can have          | a note: some services cut a long question in silence        |
| another `model` than was asked                        | a note: some services fall back to another one in silence   |
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.providers.api_keys import Redactor
from tunesmith.providers.structured_output import extract_label
from tunesmith.records import Completion, OutputConstraint
from tunesmith.records.storable_text import replace_unstorable

MAX_CHARACTERS = 2**20
MAX_TOKENS = 10**8
"""More than any model reads or writes in one request."""
CHARACTERS_PER_TOKEN = 4
"""Of English text, by OpenAI's rule of thumb (https://help.openai.com/en/articles/4936856)."""
ESTIMATED_NOTE = (
    "The service does not say, or not credibly, how many tokens a request took; they are estimated, one for "
    f"{CHARACTERS_PER_TOKEN} characters, and so is what it costs."
)
UNNAMED_TOKENS_NOTE = (
    "The service counts more tokens in all than it names as read and written; the rest counts as written (models that "
    "reason are charged for it)."
)
MAX_CHARACTERS_PER_TOKEN = 8
"""Of text, runs of white space as one character: English has 4 to 5, code and German less."""
MIN_CHECKED_CHARACTERS = 2_000
SHORTENED_NOTE = (
    f"The service counts one token for {MAX_CHARACTERS_PER_TOKEN} characters or more of a long question. It may have "
    "cut the question to its context, which some do without an error: let it have a longer context, or ask for less."
)
OTHER_MODEL_NOTE = "At least one answer is of another model than was asked, as the service says: "
REPLACED_NOTE = "Answers held characters that no file can hold (half a character, or NUL); each is now U+FFFD."
KEY_REMOVED_NOTE = "The service repeated the key in an answer; it was taken out."
TRUNCATED_ERROR = "cut before it said anything: raise max_tokens"
ONLY_REASONING_ERROR = "it reasoned and gave no answer"
FILTERED_ERROR = "withheld by the service's content filter"
UNFINISHED_REASONS = ("length", "content_filter")

NoteCallback = Callable[[str], None]
"""Told a sentence about what was done to answers."""


def parse_completion(
    response: Mapping[str, Any],
    output_constraint: OutputConstraint | None,
    prompt_characters: int,
    redact: Redactor,
    note: NoteCallback,
) -> Completion:
    """The first choice of a reply; `seconds` is 0. `asked_characters` are those of the prompt, runs of white space as
    one."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    reason = choice.get("finish_reason")
    text, why_none = _extract_text(choice, reason)
    tokens_in, tokens_out = _count_tokens(response.get("usage"), prompt_characters, text, note)
    if text is None:
        return Completion("", tokens_in, tokens_out, 0.0, finished=False, error=redact(why_none))
    bare = extract_label(text.strip(), output_constraint)
    told = redact(bare)
    if told != bare:
        note(KEY_REMOVED_NOTE)
    if told != replace_unstorable(told):
        note(REPLACED_NOTE)
    return Completion(told, tokens_in, tokens_out, 0.0, finished=reason not in UNFINISHED_REASONS)


def _extract_text(choice: Mapping[str, Any], reason: Any) -> tuple[str | None, str]:
    """(the answer's text, or None and why there is none)."""
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    text = _join_text_parts(content) if isinstance(content, list) else content
    if reason == "error":
        return None, "the service ended the answer with an error"
    if reason in UNFINISHED_REASONS and not (isinstance(text, str) and text.strip()):
        return None, TRUNCATED_ERROR if reason == "length" else FILTERED_ERROR
    if not (isinstance(text, str) and text.strip()) and _has_reasoning(message):
        return None, f"{ONLY_REASONING_ERROR} (finish_reason {str(reason)[:40]!r})"
    if not isinstance(text, str):
        refusal = message.get("refusal") if isinstance(message, dict) else None
        said = f", refused: {refusal[:200]!r}" if isinstance(refusal, str) and refusal else ""
        return None, f"no text in the answer (finish_reason {str(reason)[:40]!r}{said})"
    if len(text) > MAX_CHARACTERS:
        return None, f"an answer of {len(text):,} characters; at most {MAX_CHARACTERS:,} are read"
    return text, ""


def _has_reasoning(message: Any) -> bool:
    """The message has reasoning beside its content, under one of the names that services give it."""
    parts = [message.get(name) for name in ("reasoning_content", "reasoning")] if isinstance(message, dict) else []
    return any(isinstance(part, str) and part.strip() for part in parts)


def find_other_model(response: Mapping[str, Any], requested: str) -> str | None:
    """The model that a reply names, where it is not the one that was asked, a version or a longer name of it."""
    said = response.get("model")
    if not isinstance(said, str) or not said.strip():
        return None
    one, other = (name.strip().casefold().rpartition("/")[2] for name in (said, requested))
    return None if one in other or other in one else said.strip()[:60]


def _join_text_parts(parts: list[Any]) -> str | None:
    """The text parts of a content that is a list; None where there is none."""
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") in ("text", None)]
    found = [text for text in texts if isinstance(text, str)]
    return "".join(found) if found else None


def _count_tokens(usage: Any, prompt_characters: int, text: str | None, note: NoteCallback) -> tuple[int, int]:
    """Tokens read and written as the service counts them, estimated where it does not or nobody can believe it."""
    tokens_in, tokens_out = (_read_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    if text is None:  # it may have been charged for; nothing is made up
        return tokens_in or 0, tokens_out or 0
    if not tokens_in or tokens_out is None or (text and not tokens_out):
        note(ESTIMATED_NOTE)
    elif (_read_count(usage, "total_tokens") or 0) > tokens_in + tokens_out:
        note(UNNAMED_TOKENS_NOTE)
        tokens_out = (_read_count(usage, "total_tokens") or 0) - tokens_in
    tokens_in, tokens_out = tokens_in or _estimate_tokens(prompt_characters), tokens_out or _estimate_tokens(len(text))
    if prompt_characters >= max(MIN_CHECKED_CHARACTERS, MAX_CHARACTERS_PER_TOKEN * tokens_in):
        note(SHORTENED_NOTE)
    return tokens_in, tokens_out


def _read_count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value <= MAX_TOKENS and value == int(value) else None


def _estimate_tokens(characters: int) -> int:
    return math.ceil(characters / CHARACTERS_PER_TOKEN)
