"""Services that send what no good one would, on real sockets: every wait ends, every fault is one
prompt's error."""

import gzip
import json
import os
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tunesmith.errors import ProviderError, RecipeError
from tunesmith.providers import api_keys
from tunesmith.providers.api_keys import Redactor
from tunesmith.providers.concurrent_calls import run_concurrently
from tunesmith.providers.http_client import RetryPolicy
from tunesmith.providers.http_connection import ResponseTooLarge, decompress
from tunesmith.providers.openai_compatible import LOST_NOTE, RemoteCompleter
from tunesmith.providers.reply_parsing import (
    ESTIMATED_NOTE,
    FILTERED_ERROR,
    KEY_REMOVED_NOTE,
    OTHER_MODEL_NOTE,
    REPLACED_NOTE,
    SHORTENED_NOTE,
    TRUNCATED_ERROR,
    UNNAMED_TOKENS_NOTE,
    find_other_model,
    parse_completion,
)
from tunesmith.records import Completion, Message, Prompt, RemoteRecipe
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion
from tunesmith.testing.raw_service import Connection, RawService

KEY = "sk-canary-123456789-abcdefgh"
ONCE = RetryPolicy(max_attempts=1, request_seconds=0.4, answer_seconds=1.0)
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", KEY)


def completer(url: str, patience: RetryPolicy = ONCE) -> RemoteCompleter:
    recipe = RemoteRecipe(
        name="remote", base_url=url, model="m", api_key_env="FAKE_KEY", max_tokens=16
    )
    return RemoteCompleter(recipe, retry_policy=patience)


def ask(word: str) -> Prompt:
    return (Message("user", word),)


def after_request(act: Callable[[Connection], None]) -> Callable[[Connection], None]:
    def talk(connection: Connection) -> None:
        connection.read_request()
        act(connection)

    return talk


def dripping(start: bytes, piece: bytes) -> Callable[[Connection], None]:
    def act(connection: Connection) -> None:
        connection.send(start)
        connection.send_until_closed(piece)

    return after_request(act)


WITHOUT_END = {
    "silent": after_request(Connection.wait_for_stop),
    "reads nothing": Connection.wait_for_stop,
    "a byte of the status line now and then": dripping(b"HTTP/1.1 200 ", b"O"),
    "a byte of a header now and then": dripping(OK + b"x-slow: ", b"x"),
    "a header now and then": dripping(OK, b"x-slow: 1\r\n"),
    "100 Continue without end": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints without end": dripping(b"", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"),
    "a byte of the body now and then": dripping(OK + b"content-length: 100000\r\n\r\n", b" "),
    "a body up to the end of the connection": dripping(OK + b"\r\n", b" "),
    "a chunk now and then": dripping(OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a chunk's length now and then": dripping(OK + b"transfer-encoding: chunked\r\n\r\n", b"0"),
    "a chunk's extension now and then": dripping(
        OK + b"transfer-encoding: chunked\r\n\r\n1;x", b"x"
    ),
    "a trailer now and then": dripping(
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x-slow: 1\r\n"
    ),
    "half an answer, then silence": after_request(
        lambda c: (c.send(OK + b"content-length: 99\r\n\r\n{"), c.wait_for_stop())[0]
    ),
}


@pytest.mark.parametrize("talk", WITHOUT_END.values(), ids=WITHOUT_END.keys())
def test_a_service_that_never_ends_its_answer_is_left(talk: Callable[[Connection], None]) -> None:
    with RawService(talk) as service, pytest.raises(ProviderError) as raised:
        completer(service.url).complete([ask("a")])
    assert raised.value.code == "provider/no-answer"
    assert "ReadTimeout: response not complete within 0.4 s (1 attempt)" in raised.value.got


def test_a_service_that_never_ends_the_tls_handshake_is_left() -> None:
    """A byte of a record of 16 KB now and then: each byte is in time for a limit that counts from
    byte to byte."""

    def talk(connection: Connection) -> None:
        connection.send(b"\x16\x03\x03\x40\x00")
        connection.send_until_closed(b"\x02")

    with RawService(talk) as service, pytest.raises(ProviderError) as raised:
        completer(service.url.replace("http:", "https:")).complete([ask("a")])
    assert "ReadTimeout: response not complete within 0.4 s" in raised.value.got


def test_a_time_limit_that_is_over_closes_the_connection() -> None:
    gone = threading.Event()

    def talk(connection: Connection) -> None:
        connection.read_request()
        if not connection.socket.recv(1):
            gone.set()

    with RawService(talk) as service:
        with pytest.raises(ProviderError):
            completer(service.url).complete([ask("a")])
        assert gone.wait(30)


def test_leaving_waits_for_no_answer_and_no_thread() -> None:
    """Ctrl-C while four requests are under way that never end: the patience is an hour."""
    hour = RetryPolicy(max_attempts=6, request_seconds=3600.0, answer_seconds=3600.0)
    first = threading.Event()

    def talk(connection: Connection) -> None:
        connection.read_request()
        if not first.is_set():
            first.set()
            connection.send_reply(make_chat_completion("A"))
        else:
            connection.wait_for_stop()

    def leave_once_all_wait(ready: int, wanted: int) -> None:
        if service.connection_count == 5:
            raise KeyboardInterrupt

    with RawService(talk) as service, pytest.raises(KeyboardInterrupt):
        completer(service.url, hour).complete(
            [ask(str(number)) for number in range(9)], leave_once_all_wait
        )


def test_progress_is_told_while_nothing_arrives() -> None:
    told: list[int] = []
    with RawService(WITHOUT_END["silent"]) as service, pytest.raises(ProviderError):
        completer(service.url).complete([ask("a")], lambda ready, wanted: told.append(ready))
    assert told and set(told) == {0}


GOOD = json.dumps(make_chat_completion("A")).encode()
BROKEN = {
    "garbage": (lambda c: c.send(b"\0\xff\x80 what\r\n\r\n"), "RemoteProtocolError"),
    "another protocol": (lambda c: c.send(b"SSH-2.0-OpenSSH_9.6\r\n"), "RemoteProtocolError"),
    "no version": (lambda c: c.send(b"200 OK\r\n\r\n" + GOOD), "RemoteProtocolError"),
    "nothing": (lambda c: None, "Server disconnected"),
    "hangs up in the head": (lambda c: c.send(OK + b"content-le"), "RemoteProtocolError"),
    "hangs up in the body": (
        lambda c: c.send(OK + b"content-length: 999\r\n\r\n{"),
        "RemoteProtocolError",
    ),
    "hangs up in a chunk": (
        lambda c: c.send(OK + b"transfer-encoding: chunked\r\n\r\nff\r\n{"),
        "RemoteProtocolError",
    ),
    "a negative length": (
        lambda c: c.send(OK + b"content-length: -1\r\n\r\n{}"),
        "RemoteProtocolError",
    ),
    "two lengths": (
        lambda c: c.send(OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        "RemoteProtocolError",
    ),
    "a length that is not a number": (
        lambda c: c.send(OK + b"content-length: many\r\n\r\n{}"),
        "RemoteProtocolError",
    ),
    "a chunk's length that is none": (
        lambda c: c.send(OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\n"),
        "RemoteProtocolError",
    ),
    "an unknown transfer encoding": (
        lambda c: c.send(OK + b"transfer-encoding: rot13\r\n\r\n" + GOOD),
        "RemoteProtocolError",
    ),
    "headers of 200 KB": (
        lambda c: c.send(OK + b"x: " + b"x" * 200_000 + b"\r\n\r\n"),
        "RemoteProtocolError",
    ),
    "a header without a name": (lambda c: c.send(OK + b": x\r\n\r\n"), "RemoteProtocolError"),
    "other protocols": (
        lambda c: c.send_reply(b"", status="101 Switching Protocols"),
        "RemoteProtocolError",
    ),
    "no content": (lambda c: c.send(b"HTTP/1.1 204 No Content\r\n\r\n"), "status 204"),
    "a made-up status": (lambda c: c.send_reply(GOOD, status="999 Whatever"), "status 999"),
    "events of a stream": (
        lambda c: c.send_reply(b'data: {"choices": []}\n\ndata: [DONE]\n\n'),
        "status 200, 'data:",
    ),
    "half of the JSON": (lambda c: c.send_reply(GOOD[:-5]), "status 200"),
    "a number of 5,000 digits": (
        lambda c: c.send_reply(b'{"choices": ' + b"1" * 5000 + b"}"),
        "status 200",
    ),
    "very deep JSON": (lambda c: c.send_reply(b'{"a":' * 100_000), "status 200"),
    "bytes that are no UTF-8": (lambda c: c.send_reply(b'{"a": "\xff\xfe"}'), "status 200"),
    "packed with something else": (
        lambda c: c.send_reply(GOOD, "content-encoding: zstd"),
        "content encoding 'zstd'",
    ),
    "packed twice": (
        lambda c: c.send_reply(GOOD, "content-encoding: gzip, gzip"),
        "content encoding 'gzip, gzip'",
    ),
    "said to be packed": (lambda c: c.send_reply(GOOD, "content-encoding: gzip"), "DecodingError"),
    "packed and cut": (
        lambda c: c.send_reply(gzip.compress(GOOD)[:30], "content-encoding: gzip"),
        "status 200",
    ),
    "a bomb": (
        lambda c: c.send_reply(gzip.compress(b"0" * (64 << 20), 9), "content-encoding: gzip"),
        "response over 8 MiB",
    ),
}


@pytest.mark.parametrize(("act", "told"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_reply_is_the_error_of_its_prompt_and_of_no_other(
    act: Callable[[Connection], Any], told: str
) -> None:
    def talk(connection: Connection) -> None:
        number = service.connection_count
        connection.read_request()
        if number != 2:
            connection.send_reply(make_chat_completion("A"))
        else:
            act(connection)

    patience = RetryPolicy(max_attempts=1, request_seconds=30.0, answer_seconds=30.0)
    with RawService(talk) as service:
        asked = completer(service.url, patience)
        (first,), (second,), (third,) = (asked.complete([ask(word)]) for word in "abc")
    assert (first.text, third.text) == ("A", "A")
    assert second.error is not None and told in second.error and second.text == ""


def test_an_answer_that_is_packed_unasked_is_unpacked() -> None:
    for packed, name in ((gzip.compress(GOOD), "gzip"), (zlib.compress(GOOD), "deflate")):
        with RawService(
            after_request(lambda c, p=packed, n=name: c.send_reply(p, f"content-encoding: {n}"))
        ) as service:  # type: ignore[misc]
            assert completer(service.url).complete([ask("a")])[0].text == "A"


def test_unpacking_stops_where_reading_stops() -> None:
    with pytest.raises(ResponseTooLarge):
        decompress(gzip.compress(b"0" * (64 << 20)), "gzip")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_in_another_unicode_encoding_is_read(encoding: str) -> None:
    body = json.dumps(make_chat_completion("grün"), ensure_ascii=False).encode(encoding)
    with RawService(after_request(lambda c: c.send_reply(body))) as service:
        assert completer(service.url).complete([ask("a")])[0].text == "grün"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(status: int) -> None:
    with FakeOpenAI(str.upper) as elsewhere:
        fault = Reply(status, {}, {"location": elsewhere.url})
        with (
            FakeOpenAI(str.upper, [fault]) as service,
            pytest.raises(ProviderError, match="provider/redirect"),
        ):
            completer(service.url).complete([ask("a")])
        assert elsewhere.requests == []


# What is inside a reply


def read(choice: Any = None, usage: Any = None, **parts: Any) -> tuple[Completion, list[str]]:
    notes: list[str] = []
    response = {
        "choices": [choice],
        "usage": usage or {"prompt_tokens": 7, "completion_tokens": 3},
        **parts,
    }
    return parse_completion(response, None, 40, Redactor(KEY), notes.append), notes


def said(content: Any, reason: Any = "stop", **parts: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **parts}, "finish_reason": reason}


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("red \ud800", "red \ufffd"),
        ("\udc00\ud800 red", "\ufffd\ufffd red"),
        ("a\0b", "a\ufffdb"),
        ("emoji \U0001f600", "emoji \U0001f600"),
    ],
)
def test_an_answer_is_storable_whatever_the_service_sends(text: str, stored: str) -> None:
    completion, notes = read(said(text))
    assert (completion.text, completion.error) == (stored, None)
    assert notes == ([REPLACED_NOTE] if stored != text else [])
    stored.encode()


def test_every_completion_is_storable_also_its_error() -> None:
    assert Completion("a\ud800", 0, 0, 0.0, error="b\0").text == "a\ufffd"
    assert Completion("a", 0, 0, 0.0, error="b\0").error == "b\ufffd"


def test_a_content_of_parts_is_the_text_of_its_text_parts() -> None:
    parts = [
        {"type": "thinking", "text": "hm"},
        {"type": "text", "text": "re"},
        1,
        {"type": "text", "text": "d"},
    ]
    assert read(said(parts))[0].text == "red"


NO_TEXT = {
    "null": (said(None), "no text in the response (finish_reason 'stop')"),
    "a number": (said(3), "no text in the response (finish_reason 'stop')"),
    "no parts": (said([]), "no text in the response (finish_reason 'stop')"),
    "parts without text": (
        said([{"type": "image_url", "image_url": "x"}]),
        "no text in the response (finish_reason 'stop')",
    ),
    "no tool call": (
        said(None, "tool_calls", tool_calls=[]),
        "no text in the response (finish_reason 'tool_calls')",
    ),
    "a refusal": (
        said(None, refusal="I cannot."),
        "no text in the response (finish_reason 'stop', refused: 'I cannot.')",
    ),
    "filtered": (said("", "content_filter"), FILTERED_ERROR),
    "cut": (said(" ", "length"), TRUNCATED_ERROR),
    "an error": (
        said("half an ans", "error"),
        "error from the service in the middle of the response",
    ),
    "no choices": (None, "no text in the response (finish_reason 'None')"),
    "too long": (
        said("x" * (2**20 + 1)),
        "answer of 1,048,577 characters; at most 1,048,576 are supported",
    ),
}


@pytest.mark.parametrize(("choice", "told"), NO_TEXT.values(), ids=NO_TEXT.keys())
def test_what_is_no_text_is_said_and_its_tokens_count(choice: Any, told: str) -> None:
    completion, _ = read(choice)
    assert (completion.error, completion.text, completion.finished) == (told, "", False)
    assert (completion.tokens_in, completion.tokens_out) == (7, 3)


def test_a_tool_call_that_cannot_be_read_is_an_answer_as_it_stands() -> None:
    completion, _ = read(said(None, "tool_calls", tool_calls=[{}]))
    assert (completion.error, completion.text) == (None, '{"tool_calls": [{}]}')


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_was_ended_early_is_an_unfinished_answer(reason: str) -> None:
    completion, _ = read(said("half an", reason))
    assert (completion.text, completion.finished, completion.error) == ("half an", False, None)


NOT_CREDIBLE = [
    {"prompt_tokens": -1, "completion_tokens": -5},
    {"prompt_tokens": True, "completion_tokens": True},
    {"prompt_tokens": 10**18, "completion_tokens": 10**18},
    {"prompt_tokens": 1.5, "completion_tokens": 0.5},
    {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
    {"prompt_tokens": "7"},
    {"total_tokens": 10},
    [7, 3],
    "7",
    7,
    {"prompt_tokens": 0, "completion_tokens": 0},
]


@pytest.mark.parametrize("usage", NOT_CREDIBLE, ids=repr)
def test_a_usage_that_no_request_has_is_estimated_and_told(usage: Any) -> None:
    completion, notes = read(said("twelve chars"), usage)
    assert (completion.tokens_in, completion.tokens_out, notes) == (10, 3, [ESTIMATED_NOTE])


def test_what_of_a_usage_is_credible_counts() -> None:
    completion, notes = read(said("twelve chars"), {"prompt_tokens": 9.0})
    assert (completion.tokens_in, completion.tokens_out, notes) == (9, 3, [ESTIMATED_NOTE])


def test_an_error_that_is_null_is_none() -> None:
    for nothing in (None, {}, "", False):
        with FakeOpenAI(
            str.upper, faults=[Reply(body={**make_chat_completion("A"), "error": nothing})]
        ) as service:
            assert completer(service.url).complete([ask("a")])[0].text == "A"
            assert len(service.requests) == 1


def test_an_error_inside_a_good_reply_counts_by_its_code() -> None:
    fault = Reply(200, {"error": {"code": 400, "message": "too long"}}, {"x-request-id": "req-7"})
    with FakeOpenAI(str.upper, faults=[fault]) as service:
        (answer,) = completer(service.url, RetryPolicy(max_attempts=5)).complete([ask("a")])
    assert (answer.error, len(service.requests)) == ("status 200, 'too long', request req-7", 1)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_what_may_pass_is_asked_again_and_not_charged_twice(status: int) -> None:
    faults = [Reply(status, b"<html>busy</html>", {"retry-after": "0"})] * 2
    with FakeOpenAI(str.upper, faults=faults) as service:
        asked = completer(service.url, RetryPolicy(max_attempts=3))
        (answer,) = asked.complete([ask("a b")])
    assert (answer.text, answer.tokens_in, answer.tokens_out, len(service.requests)) == (
        "A B",
        3,
        2,
        3,
    )
    assert asked.notes == []


def test_an_answer_that_did_not_arrive_may_have_been_charged_and_that_is_told() -> None:
    with FakeOpenAI(str.upper, faults=[Reply(body=b"{")]) as service:
        asked = completer(service.url, RetryPolicy(max_attempts=2, first_wait_seconds=0.001))
        assert asked.complete([ask("a")])[0].text == "A"
    assert asked.notes == [LOST_NOTE]


def test_a_date_to_wait_for_is_read_by_the_clock_of_the_service() -> None:
    now = "Wed, 21 Oct 2099 07:28:00 GMT"

    def talk(connection: Connection) -> None:
        number = service.connection_count
        connection.read_request()
        if number == 1:
            connection.send_reply(
                b"", f"date: {now}", f"retry-after: {now}", status="429 Too Many Requests"
            )
        connection.send_reply(make_chat_completion("A"))

    with RawService(talk) as service:
        assert (
            completer(service.url, RetryPolicy(max_attempts=2)).complete([ask("a")])[0].text == "A"
        )


@pytest.mark.parametrize("wait", ["3600", "1e300", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_wait_that_nobody_has_time_for_is_told_and_not_begun(wait: str) -> None:
    told = "1 attempt, asks to wait [0-9,]+ s"
    fault = Reply(429, {}, {"retry-after": wait})
    with FakeOpenAI(str.upper, [fault]) as service, pytest.raises(ProviderError, match=told):
        completer(service.url, RetryPolicy(max_attempts=6)).complete([ask("a")])


# Keys


SPELLED = {
    "whole": KEY,
    "its beginning": KEY[:12],
    "without its beginning": KEY[5:],
    "in base64": "c2stY2FuYXJ5LTEyMzQ1Njc4OS1hYmNkZWZnaA",
    "in base64 behind Bearer": "QmVhcmVyIHNrLWNhbmFyeS0xMjM0NTY3ODktYWJjZGVmZ2g=",
    "in hex": KEY.encode().hex(),
}


@pytest.mark.parametrize("spelled", SPELLED.values(), ids=SPELLED.keys())
def test_a_key_in_an_answer_or_an_error_is_taken_out(spelled: str) -> None:
    completion, notes = read(said(f"red {spelled} green"))
    assert (
        completion.text.startswith("red ")
        and completion.text.endswith(" green")
        and notes == [KEY_REMOVED_NOTE]
    )
    told = read(said(None, f"{spelled}"))[0].error
    for text in (completion.text, told or ""):
        assert "[key]" in text and not any(
            spelled[i : i + 12] in text for i in range(len(spelled) - 11)
        )


def test_what_many_keys_begin_with_and_what_is_no_secret_stays() -> None:
    assert Redactor("sk-proj-0123456789")("keys begin with sk-proj-") == "keys begin with sk-proj-"
    assert Redactor("none")("none of them") == "none of them"


SENT = [
    "OPENAI_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "OPENROUTER_KEY",
    "AZURE_OPENAI_API_KEY",
    "GOOGLE_API_KEY",
    "FAKE_KEY",
]
NOT_SENT = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "HF_TOKEN",
    "SSH_PRIVATE_KEY",
    "HOME",
    "DATABASE_URL",
    "DJANGO_SECRET_KEY",
    "NPM_TOKEN",
    "aws_secret_access_key",
    "PATH",
    "STRIPE_KEY",
]


@pytest.mark.parametrize("variable", [*SENT, *NOT_SENT])
def test_only_what_is_named_like_the_key_of_a_model_is_sent(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, KEY)
    with FakeOpenAI(str.upper) as service:
        asked = RemoteCompleter(
            RemoteRecipe(name="remote", base_url=service.url, model="m", api_key_env=variable)
        )
        if variable in SENT:
            asked.complete([ask("a")])
            assert service.headers[0]["authorization"] == f"Bearer {KEY}"
            return
        with pytest.raises(RecipeError) as raised:
            asked.complete([ask("a")])
        assert raised.value.code == "recipe/key-not-sent" and KEY not in str(raised.value)
        assert service.requests == []
        monkeypatch.setenv(api_keys.ALLOWED_KEYS_VARIABLE, f"OTHER, {variable}")
        asked.complete([ask("a")])
        assert service.headers[0]["authorization"] == f"Bearer {KEY}"


def test_an_answer_that_repeats_the_key_is_told_beside_the_answers() -> None:
    with FakeOpenAI(lambda question: f"red {os.environ['FAKE_KEY']}") as service:
        asked = completer(service.url)
        assert asked.complete([ask("a")])[0].text == "red [key]"
    assert asked.notes == [KEY_REMOVED_NOTE]


def test_work_side_by_side_hands_errors_to_the_caller_and_begins_nothing_more() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return 1 // number

    with pytest.raises(ZeroDivisionError):
        list(run_concurrently(work, [0, *range(1, 100_000)], 1))
    assert len(begun) < 100_000


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("content", [None, "", " \n"])
def test_reasoning_without_an_answer_is_no_answer(content: str | None, name: str) -> None:
    """llm-as-a-verifier/llm-as-a-verifier#5: behind a reasoning parser all of an answer may be
    reasoning."""
    completion, _ = read(said(content, **{name: "It must be red."}))
    assert completion.error == "only reasoning, no answer (finish_reason 'stop')"
    assert read(said("red", **{name: "It must be red."}))[0].text == "red"
    assert read(said("", **{name: " "}))[0].error is None  # an empty answer is one


@pytest.mark.parametrize(
    ("usage", "tokens", "is_told"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, (10, 5), False),
        (
            {"prompt_tokens": 7477, "completion_tokens": 2060, "total_tokens": 11476},
            (7477, 3999),
            True,
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 12}, (10, 5), False),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": "many"}, (10, 5), False),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 10**18}, (10, 5), False),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 15,
            },
            (10, 5),
            False,
        ),
    ],
)
def test_tokens_that_only_the_total_counts_are_charged(
    usage: dict[str, Any], tokens: tuple[int, int], is_told: bool
) -> None:
    """vercel/ai#6082: reasoning in the total only. Aider-AI/aider#5516: details are parts and are
    not added again."""
    completion, notes = read(said("red"), usage)
    assert (completion.tokens_in, completion.tokens_out) == tokens
    assert notes == ([UNNAMED_TOKENS_NOTE] if is_told else [])


@pytest.mark.parametrize(
    ("characters", "tokens", "is_told"),
    [(30_000, 2050, True), (30_000, 7_500, False), (1_900, 20, False)],
)
def test_a_question_that_was_cut_in_silence_is_noted(
    characters: int, tokens: int, is_told: bool
) -> None:
    """ollama/ollama#17889, esengine/DeepSeek-Reasonix#10245: 200 OK, and the rest of the prompt was
    never read."""
    notes: list[str] = []
    response = {
        "choices": [said("red")],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 1},
    }
    parse_completion(response, None, characters, Redactor(KEY), notes.append)
    assert notes == ([SHORTENED_NOTE] if is_told else [])


@pytest.mark.parametrize(
    ("said_model", "asked", "is_other"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o", False),
        ("openai/gpt-4o", "gpt-4o", False),
        ("qwen3", "Qwen/Qwen3-8B", False),
        ("small-model", "large-model", True),
        (None, "large-model", False),
        (7, "large-model", False),
    ],
)
def test_an_answer_of_another_model_is_seen(said_model: Any, asked: str, is_other: bool) -> None:
    assert find_other_model({"model": said_model}, asked) == (said_model if is_other else None)


def test_an_answer_of_another_model_is_noted_once() -> None:
    """odysseus-dev/odysseus#868, balcsida/pi-provider-litellm#191: a gateway falls back to another
    model in silence."""
    reply = Reply(body={**make_chat_completion("red"), "model": "gpt-small"})
    with FakeOpenAI(str.upper, reply=lambda request: reply) as service:
        one = completer(service.url)
        one.recipe = one.recipe.model_copy(update={"model": "gpt-large"})
        one.complete([ask("a"), ask("b"), ask("c")])
    assert one.notes == [f"{OTHER_MODEL_NOTE}'gpt-small' for 'gpt-large'."]
