"""What a service sends: the bytes of a body that says 200 -> an answer that can be stored, or why
there is none."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.fuzz.target import Target
from tunesmith.providers.api_keys import Redactor
from tunesmith.providers.http_client import HttpSession, RequestFailed, RetryPolicy
from tunesmith.providers.http_connection import HttpConnection, RawResponse
from tunesmith.providers.reply_parsing import parse_completion
from tunesmith.records import Answer, Completion, OutputConstraint
from tunesmith.testing.fake_openai import make_chat_completion, make_error_reply

REDACT = Redactor("sk-canary-123456789")
ONCE = RetryPolicy(max_attempts=1)
FORM = OutputConstraint(labels=("red", "green"))


def read_reply(data: bytes, folder: Path) -> Completion | str:
    """As `RemoteCompleter` reads it; what is stored and told must be text that a file can hold,
    without the key."""
    line = cast(
        HttpConnection,
        SimpleNamespace(post=lambda *asked: RawResponse(200, {"retry-after": "1"}, data)),
    )
    try:
        response = HttpSession("", REDACT, ONCE, threading.Event()).post({}, line)
    except RequestFailed as refused:
        refused.detail.encode()
        return refused.kind
    notes: list[str] = []
    found = parse_completion(response, FORM, 40, REDACT, notes.append)
    stored = Answer(
        example="x",
        text=found.text,
        scores={},
        tokens_in=found.tokens_in,
        tokens_out=found.tokens_out,
        seconds=0.0,
        is_complete=found.finished,
        error=found.error,
    ).model_dump_json()
    assert REDACT.key not in stored and found.tokens_in >= 0 and found.tokens_out >= 0
    return found


def _replies() -> list[bytes]:
    parts: list[Any] = [
        make_chat_completion("red", "a question"),
        make_chat_completion('{"answer": "red"}'),
        make_chat_completion(None, finish_reason="content_filter"),
        make_chat_completion("half \ud800 and sk-canary-123456789", finish_reason="length"),
        {
            "choices": [{"message": {"content": [{"type": "text", "text": "red"}]}}],
            "usage": {"prompt_tokens": 1.0},
        },
        {"error": {"message": "slow down", "code": 429}, "choices": []},
        make_error_reply(500, "down").body,
    ]
    return [json.dumps(part).encode() for part in parts]


TARGETS = (Target("reply-of-a-service", read_reply, _replies),)
