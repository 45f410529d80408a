"""What a service answered, whatever it left out or wrote wrongly: the JSON object of a reply -> a completion.

| in the reply                                          | what becomes of it                                          |
|-------------------------------------------------------|-------------------------------------------------------------|
| `content` is a list of parts                          | the text of its text parts, joined                          |
| no text at all (null, a number, tool calls, refusal)  | an error that says what was there                           |
| reasoning beside an empty text (a reasoning parser)   | an error: what was reasoned is no answer                    |
| `finish_reason` length, content_filter                | an answer that is not finished; without any text an error   |
| `finish_reason` error                                 | an error                                                    |
| more than `MOST_CHARACTERS`                           | an error: it is not cut in silence                          |
| half a surrogate pair, NUL                            | U+FFFD (records/storable.py), with a note                   |
| the key, or `WINDOW` characters of it in a row        | `[key]` (keys.py), with a note                              |
| no usage, or one that no request has                  | tokens estimated from characters, with a note               |
| `total_tokens` above prompt and completion together   | the rest counts as written: reasoning is charged, too       |
| fewer tokens read than the question can have          | a note: some services cut a long question in silence        |
| another `model` than was asked                        | a note: some services fall back to another one in silence   |
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.providers.keys import Redactor
from tunesmith.providers.remote_form import unwrapped
from tunesmith.records import AnswerForm, Completion
from tunesmith.records.storable import storable

MOST_CHARACTERS = 2**20
MOST_TOKENS = 10**8
"""More than any model reads or writes in one request."""
CHARACTERS_PER_TOKEN = 4
"""Of English text, by OpenAI's rule of thumb (https://help.openai.com/en/articles/4936856)."""
ESTIMATED = (
    "The service does not say, or not credibly, how many tokens a request took; they are estimated, one for "
    f"{CHARACTERS_PER_TOKEN} characters, and so is what it costs."
)
UNNAMED = (
    "The service counts more tokens in all than it names as read and written; the rest counts as written (models that "
    "reason are charged for it)."
)
MOST_CHARACTERS_PER_TOKEN = 8
"""Of text, runs of white space as one character: English has 4 to 5, code and German less."""
FEWEST_CHARACTERS = 2_000
SHORTENED = (
    f"The service counts one token for {MOST_CHARACTERS_PER_TOKEN} characters or more of a long question. It may have "
    "cut the question to its context, which some do without an error: let it have a longer context, or ask for less."
)
ANOTHER_MODEL = "At least one answer is of another model than was asked, as the service says: "
REPLACED = "Answers held characters that no file can hold (half a character, or NUL); each is now U+FFFD."
REPEATED = "The service repeated the key in an answer; it was taken out."
CUT = "cut before it said anything: raise max_tokens"
ONLY_REASONING = "it reasoned and gave no answer"
FILTERED = "withheld by the service's content filter"
UNFINISHED = ("length", "content_filter")

Note = Callable[[str], None]
"""Told a sentence about what was done to answers."""


def completion_of(
    response: Mapping[str, Any], form: AnswerForm | None, asked_characters: int, redact: Redactor, note: Note
) -> Completion:
    """The first choice of a reply; `seconds` is 0. `asked_characters` are those of the prompt, runs of white space as
    one."""
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    reason = choice.get("finish_reason")
    text, why_none = _text_of(choice, reason)
    tokens_in, tokens_out = _tokens(response.get("usage"), asked_characters, text, note)
    if text is None:
        return Completion("", tokens_in, tokens_out, 0.0, finished=False, error=redact(why_none))
    bare = unwrapped(text.strip(), form)
    told = redact(bare)
    if told != bare:
        note(REPEATED)
    if told != storable(told):
        note(REPLACED)
    return Completion(told, tokens_in, tokens_out, 0.0, finished=reason not in UNFINISHED)


def _text_of(choice: Mapping[str, Any], reason: Any) -> tuple[str | None, str]:
    """(the answer's text, or None and why there is none)."""
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    text = _joined(content) if isinstance(content, list) else content
    if reason == "error":
        return None, "the service ended the answer with an error"
    if reason in UNFINISHED and not (isinstance(text, str) and text.strip()):
        return None, CUT if reason == "length" else FILTERED
    if not (isinstance(text, str) and text.strip()) and _has_reasoning(message):
        return None, f"{ONLY_REASONING} (finish_reason {str(reason)[:40]!r})"
    if not isinstance(text, str):
        refusal = message.get("refusal") if isinstance(message, dict) else None
        said = f", refused: {refusal[:200]!r}" if isinstance(refusal, str) and refusal else ""
        return None, f"no text in the answer (finish_reason {str(reason)[:40]!r}{said})"
    if len(text) > MOST_CHARACTERS:
        return None, f"an answer of {len(text):,} characters; at most {MOST_CHARACTERS:,} are read"
    return text, ""


def _has_reasoning(message: Any) -> bool:
    """The message has reasoning beside its content, under one of the names that services give it."""
    parts = [message.get(name) for name in ("reasoning_content", "reasoning")] if isinstance(message, dict) else []
    return any(isinstance(part, str) and part.strip() for part in parts)


def other_model(response: Mapping[str, Any], asked: str) -> str | None:
    """The model that a reply names, where it is not the one that was asked, a version or a longer name of it."""
    said = response.get("model")
    if not isinstance(said, str) or not said.strip():
        return None
    one, other = (name.strip().casefold().rpartition("/")[2] for name in (said, asked))
    return None if one in other or other in one else said.strip()[:60]


def _joined(parts: list[Any]) -> str | None:
    """The text parts of a content that is a list; None where there is none."""
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") in ("text", None)]
    found = [text for text in texts if isinstance(text, str)]
    return "".join(found) if found else None


def _tokens(usage: Any, asked_characters: int, text: str | None, note: Note) -> tuple[int, int]:
    """Tokens read and written as the service counts them, estimated where it does not or nobody can believe it."""
    tokens_in, tokens_out = (_count_of(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    if text is None:  # it may have been charged for; nothing is made up
        return tokens_in or 0, tokens_out or 0
    if not tokens_in or tokens_out is None or (text and not tokens_out):
        note(ESTIMATED)
    elif (_count_of(usage, "total_tokens") or 0) > tokens_in + tokens_out:
        note(UNNAMED)
        tokens_out = (_count_of(usage, "total_tokens") or 0) - tokens_in
    tokens_in, tokens_out = tokens_in or _estimated(asked_characters), tokens_out or _estimated(len(text))
    if asked_characters >= max(FEWEST_CHARACTERS, MOST_CHARACTERS_PER_TOKEN * tokens_in):
        note(SHORTENED)
    return tokens_in, tokens_out


def _count_of(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value <= MOST_TOKENS and value == int(value) else None


def _estimated(characters: int) -> int:
    return math.ceil(characters / CHARACTERS_PER_TOKEN)
