"""What a service sends: the bytes of a body that says 200 -> an answer that can be stored, or why there is none."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.fuzz.target import Target
from tunesmith.providers.chat_completions import Patience, Refused, Wire
from tunesmith.providers.keys import Redactor
from tunesmith.providers.line import Line, Raw
from tunesmith.providers.reply import completion_of
from tunesmith.records import Answer, AnswerForm, Completion
from tunesmith.testing.fake_openai import chat_answer, refusal

REDACT = Redactor("sk-canary-123456789")
ONCE = Patience(attempts=1)
FORM = AnswerForm(labels=("red", "green"))


def read_reply(data: bytes, folder: Path) -> Completion | str:
    """As `RemoteCompleter` reads it; what is stored and told must be text that a file can hold, without the key."""
    line = cast(Line, SimpleNamespace(post=lambda *asked: Raw(200, {"retry-after": "1"}, data)))
    try:
        response = Wire("", REDACT, ONCE, threading.Event()).post({}, line)
    except Refused as refused:
        refused.told.encode()
        return refused.kind
    notes: list[str] = []
    found = completion_of(response, FORM, 40, REDACT, notes.append)
    stored = Answer(
        example="x", text=found.text, scores={}, tokens_in=found.tokens_in, tokens_out=found.tokens_out, seconds=0.0,
        finished=found.finished, error=found.error,
    ).model_dump_json()  # fmt: skip
    assert REDACT.key not in stored and found.tokens_in >= 0 and found.tokens_out >= 0
    return found


def _replies() -> list[bytes]:
    parts: list[Any] = [
        chat_answer("red", "a question"),
        chat_answer('{"answer": "red"}'),
        chat_answer(None, finish_reason="content_filter"),
        chat_answer("half \ud800 and sk-canary-123456789", finish_reason="length"),
        {"choices": [{"message": {"content": [{"type": "text", "text": "red"}]}}], "usage": {"prompt_tokens": 1.0}},
        {"error": {"message": "slow down", "code": 429}, "choices": []},
        refusal(500, "down").body,
    ]
    return [json.dumps(part).encode() for part in parts]


TARGETS = (Target("reply-of-a-service", read_reply, _replies),)
