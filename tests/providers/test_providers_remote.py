"""A remote model: the contract, every fault of RELIABILITY's F22 and F26, and a key that is never
seen."""

import dataclasses
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tunesmith.errors import ProviderError, RecipeError
from tunesmith.providers import http_client, http_connection, service_health
from tunesmith.providers.api_keys import Redactor
from tunesmith.providers.http_client import RetryPolicy, build_endpoint_url
from tunesmith.providers.http_connection import HttpConnection
from tunesmith.providers.openai_compatible import RemoteCompleter
from tunesmith.records import Completer, Message, OutputConstraint, Prompt, RemoteRecipe
from tunesmith.testing.completer_conformance import CompleterConformance
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion, make_error_reply

KEY = "sk-canary-123456789"
QUICK = RetryPolicy(
    max_attempts=4, request_seconds=1.0, answer_seconds=5.0, first_wait_seconds=0.001
)


def shout(question: str) -> str | None:
    return question.upper().strip() if len(question) < 1000 else None


def ask(word: str) -> Prompt:
    return (Message("system", "shout"), Message("user", word))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KEY", KEY)


@pytest.fixture
def service() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(shout) as fake:
        yield fake


def completer(
    service: FakeOpenAI,
    patience: RetryPolicy = QUICK,
    form: OutputConstraint | None = None,
    at_once: int = 4,
) -> Any:
    recipe = RemoteRecipe(
        name="remote",
        base_url=service.url,
        model="fake",
        api_key_env="FAKE_KEY",
        max_concurrency=at_once,
        max_tokens=16,
    )
    return RemoteCompleter(recipe, form, patience)


class TestRemote(CompleterConformance):
    @pytest.fixture(autouse=True)
    def _service(self, service: FakeOpenAI) -> None:
        self.service = service

    def make_completer(self) -> Completer:
        made: Completer = completer(self.service)
        return made


def test_what_is_sent_and_what_comes_back(service: FakeOpenAI) -> None:
    (answer,) = completer(service).complete([ask("a b")])
    assert service.requests == [
        {
            "model": "fake",
            "messages": [
                {"role": "system", "content": "shout"},
                {"role": "user", "content": "a b"},
            ],
            "temperature": 0,
            "seed": 0,
            "max_tokens": 16,
        }
    ]
    assert service.headers[0]["authorization"] == f"Bearer {KEY}"
    assert (answer.text, answer.tokens_in, answer.tokens_out, answer.finished) == (
        "A B",
        3,
        2,
        True,
    )


PASSING = {
    "too many requests": make_error_reply(429, "slow down"),
    "with a wait": Reply(429, {}, {"retry-after": "0.01"}),
    "with a wait in milliseconds": Reply(429, {}, {"retry-after-ms": "10"}),
    "with a date": Reply(503, {}, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "with nonsense": Reply(503, {}, {"retry-after": "soon"}),
    "server error": make_error_reply(500, "oops"),
    "a page": Reply(502, b"<html>Bad Gateway</html>", {"content-type": "text/html"}),
    "conflict": make_error_reply(409, "conflict"),
    "timed out": make_error_reply(408, "timeout"),
    "hung up": Reply(closes_connection=True),
    "too slow": Reply(body=make_chat_completion("late"), wait_seconds=0.4),
    "no JSON": Reply(200, b"{"),
    "an error that says 200": Reply(200, {"error": {"message": "upstream", "code": 502}}),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_asked_again(service: FakeOpenAI, fault: Reply) -> None:
    service.faults = [fault, fault]
    patience = dataclasses.replace(QUICK, request_seconds=0.1)
    (answer,) = completer(service, patience).complete([ask("a")])
    assert (answer.text, answer.error, len(service.requests)) == ("A", None, 3)


def test_the_wait_that_the_service_names_is_kept(service: FakeOpenAI) -> None:
    service.faults = [Reply(429, {}, {"retry-after": "0.3"})]
    began = time.monotonic()
    completer(service).complete([ask("a")])
    assert time.monotonic() - began >= 0.3


def test_a_wait_beyond_the_deadline_is_not_begun(service: FakeOpenAI) -> None:
    service.faults = [Reply(429, {}, {"retry-after": "3600"})]
    began = time.monotonic()
    with pytest.raises(ProviderError, match="no-answer"):
        completer(service).complete([ask("a")])
    assert time.monotonic() - began < 2


def test_waits_double_up_to_a_cap_and_are_shortened_by_chance(service: FakeOpenAI) -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    service.reply = lambda request: make_error_reply(500, "down")
    patience = RetryPolicy(max_attempts=6, first_wait_seconds=1.0, max_wait_seconds=5.0)
    open_line = HttpConnection(lambda: completer(service)._create_client(""))
    with pytest.raises(http_client.RequestFailed, match="6 attempts"):
        http_client.HttpSession(
            f"{service.url}/chat/completions", Redactor(""), patience, Stop()
        ).post({}, open_line)
    for wait, most in zip(waits, (1, 2, 4, 5, 5), strict=True):
        assert 0.75 * most <= wait <= most


def test_after_the_first_one_trouble_is_a_completion(service: FakeOpenAI) -> None:
    service.reply = lambda request: (
        make_error_reply(500, "down") if request["messages"][-1]["content"] == "b" else None
    )
    a, b, c = completer(service).complete([ask("a"), ask("b"), ask("c")])
    assert (a.text, c.text, b.finished) == ("A", "C", False)
    assert b.error == "status 500, 'down' (4 attempts)"


FATAL = {
    "refused-key": make_error_reply(401, f"Incorrect API key provided: {KEY}"),
    "refused-key ": make_error_reply(403, f"not for {KEY[:8]}"),
    "not-found": make_error_reply(404, "The model `fake` does not exist"),
    "redirect": Reply(307, {}, {"location": "http://127.0.0.1:9/elsewhere"}),
    "quota": make_error_reply(429, "You exceeded your current quota", code="insufficient_quota"),
}


@pytest.mark.parametrize("code", FATAL)
def test_what_will_not_pass_is_one_error_before_the_others_are_asked(
    service: FakeOpenAI, code: str
) -> None:
    service.reply = lambda request: FATAL[code]
    with pytest.raises(ProviderError) as raised:
        completer(service).complete([ask(str(number)) for number in range(50)])
    assert raised.value.code == f"provider/{code.strip()}" and raised.value.exit_code == 3
    assert len(service.requests) == 1
    assert KEY[:8] not in str(raised.value)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_prompt_is_not_asked_again(service: FakeOpenAI, status: int) -> None:
    service.faults = [make_error_reply(status, "too long")]
    first, second = completer(service).complete([ask("a"), ask("b")])
    assert first.error == f"status {status}, 'too long'" and second.text == "B"
    assert len(service.requests) == 2


def test_a_service_that_asks_not_to_be_asked_again_is_not(service: FakeOpenAI) -> None:
    service.faults = [Reply(500, {"error": {"message": "no"}}, {"x-should-retry": "false"})]
    (answer,) = completer(service).complete([ask("a")])
    assert answer.error == "status 500, 'no'" and len(service.requests) == 1


def test_a_key_that_is_revoked_in_the_middle_makes_no_storm(service: FakeOpenAI) -> None:
    service.reply = lambda request: (
        make_error_reply(401, "revoked") if len(service.requests) > 5 else None
    )
    answers = completer(service, at_once=2).complete([ask(str(number)) for number in range(60)])
    assert sum(answer.error is None for answer in answers) == 5
    assert len(service.requests) <= 7
    assert answers[-1].error == "skipped after an earlier failure: status 401"


def test_a_service_that_dies_in_the_middle_is_left_alone(service: FakeOpenAI) -> None:
    service.reply = lambda request: (
        make_error_reply(503, "down") if len(service.requests) > 1 else None
    )
    patience = dataclasses.replace(QUICK, max_attempts=1)
    answers = completer(service, patience, at_once=1).complete(
        [ask(str(number)) for number in range(40)]
    )
    assert len(service.requests) == 1 + service_health.MAX_FAILURES
    assert sum(answer.error is not None for answer in answers) == 39


@pytest.mark.parametrize("code", FATAL)
def test_whoever_was_reached_once_ends_no_run(service: FakeOpenAI, code: str) -> None:
    asked = completer(service)
    assert asked.complete([ask("a")])[0].text == "A"
    service.reply = lambda request: FATAL[code]
    answers = asked.complete([ask(str(number)) for number in range(50)])
    assert all(answer.error for answer in answers) and KEY[:8] not in repr(answers)
    assert len(service.requests) == 2, "one prompt shows that it is still so"
    service.reply = lambda request: None
    assert [answer.text for answer in asked.complete([ask("b"), ask("c")])] == [
        "B",
        "C",
    ], "it may come back"


def test_a_service_that_died_is_asked_once_in_three_later_rounds_and_then_no_more(
    service: FakeOpenAI,
) -> None:
    asked = completer(service, dataclasses.replace(QUICK, max_attempts=1), at_once=1)
    asked.complete([ask("a")])
    service.reply = lambda request: make_error_reply(503, "down")
    prompts = [ask(str(number)) for number in range(40)]
    for sent in (service_health.MAX_FAILURES, 1, 1, 1, 0, 0):
        before = len(service.requests)
        assert all(answer.error for answer in asked.complete(prompts))
        assert len(service.requests) - before == sent


def test_an_unknown_host_is_told_at_once() -> None:
    recipe = RemoteRecipe(
        name="remote", base_url="https://nowhere.invalid/v1", model="m", api_key_env="FAKE_KEY"
    )
    with pytest.raises(ProviderError) as raised:
        RemoteCompleter(recipe, retry_policy=dataclasses.replace(QUICK, max_attempts=1)).complete(
            [ask("a")]
        )
    assert raised.value.code in (
        "provider/unknown-host",
        "provider/no-answer",
    )  # without a network, no name is known


def test_a_port_where_nobody_listens_is_told(service: FakeOpenAI) -> None:
    recipe = RemoteRecipe(
        name="remote", base_url="http://127.0.0.1:9/v1", model="m", api_key_env="FAKE_KEY"
    )
    with pytest.raises(ProviderError, match=r"(?s)no-answer.*ConnectError.*4 attempts"):
        RemoteCompleter(recipe, retry_policy=QUICK).complete([ask("a")])


def test_an_answer_without_end_is_cut(service: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_RESPONSE_BYTES", 2**20)
    monkeypatch.setattr(http_client, "MAX_RESPONSE_BYTES", 2**20)
    service.faults = [Reply(body=make_chat_completion("x" * 2**22))]
    (answer,) = completer(service).complete([ask("a")])
    assert answer.error == "response over 1 MiB" and len(service.requests) == 1


STRANGE: list[Any] = [
    {},
    [],
    None,
    1,
    "x",
    {"choices": []},
    {"choices": [1]},
    {"choices": {}},
    make_chat_completion(None),
    {"choices": [{"message": "x"}]},
    {"choices": [{"message": {"content": [{"type": "text"}]}}]},
    {
        "choices": [
            {"message": {"content": None, "tool_calls": []}, "finish_reason": "tool_calls"}
        ],
        "usage": None,
    },
]


@pytest.mark.parametrize("body", STRANGE, ids=repr)
def test_strange_answers_are_errors_of_one_prompt(service: FakeOpenAI, body: Any) -> None:
    service.reply = lambda request: (
        Reply(body=body) if request["messages"][-1]["content"] == "b" else None
    )
    a, b = completer(service, dataclasses.replace(QUICK, max_attempts=1)).complete(
        [ask("a"), ask("b")]
    )
    assert a.text == "A" and b.error and b.text == ""


def test_an_answer_cut_at_the_limit_says_so(service: FakeOpenAI) -> None:
    service.faults = [Reply(body=make_chat_completion("half", finish_reason="length"))]
    (answer,) = completer(service).complete([ask("a")])
    assert (answer.text, answer.finished, answer.error) == ("half", False, None)


@pytest.mark.parametrize("text", ["", " \n", None])
def test_a_model_that_is_cut_while_it_reasons_did_not_answer(
    service: FakeOpenAI, text: str | None
) -> None:
    service.faults = [Reply(body=make_chat_completion(text, finish_reason="length"))]
    cut, whole = completer(service).complete([ask("a"), ask("b")])
    assert cut.error == "truncated before any content; increase max_tokens" and not cut.finished
    assert (whole.text, whole.error) == ("B", None)


def test_an_empty_answer_that_ended_by_itself_is_an_answer(service: FakeOpenAI) -> None:
    service.faults = [Reply(body=make_chat_completion(""))]
    (answer,) = completer(service).complete([ask("a")])
    assert (answer.text, answer.error) == ("", None)


def test_a_reasoning_model_has_room_unless_the_recipe_says_less(service: FakeOpenAI) -> None:
    RemoteCompleter(RemoteRecipe(name="remote", base_url=service.url, model="fake")).complete(
        [ask("a")]
    )
    assert service.requests[0]["max_tokens"] == 4096


def test_tokens_that_nobody_counted_are_told(service: FakeOpenAI) -> None:
    bare = {
        "choices": [{"message": {"content": "A"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": "3"},
    }
    service.faults = [Reply(body=bare)]
    asked = completer(service)
    silent, counted = asked.complete([ask("a" * 12), ask("b")])
    assert (silent.tokens_in, silent.tokens_out) == (5, 1)  # (5 + 12) / 4 and 1 / 4, rounded up
    assert (counted.tokens_in, counted.tokens_out) == (2, 1)
    assert asked.notes == [
        "The service reports no plausible token counts; tokens and costs are estimated at 4 "
        "characters per token."
    ]


def test_settings_that_a_model_declines_are_left_out_and_told(service: FakeOpenAI) -> None:
    def picky(request: dict[str, Any]) -> Reply | None:
        if "max_tokens" in request:
            return make_error_reply(
                400,
                "Unsupported parameter: use 'max_completion_tokens' instead.",
                param="max_tokens",
            )
        if "temperature" in request:
            return make_error_reply(
                400, "Unsupported value: 'temperature' does not support 0.", param="temperature"
            )
        return None

    service.reply = picky
    asked = completer(service)
    assert [answer.text for answer in asked.complete([ask("a"), ask("b")])] == ["A", "B"]
    assert service.requests[-1].keys() == {"model", "messages", "seed", "max_completion_tokens"}
    assert asked.notes == [
        "The service does not support temperature, so its answers may differ between runs."
    ]


def test_requests_overlap_and_seconds_are_shares_of_the_wall_time(service: FakeOpenAI) -> None:
    service.answer = lambda question: time.sleep(0.05) or question
    began = time.perf_counter()
    answers = completer(service, at_once=4).complete([ask(str(number)) for number in range(13)])
    wall = time.perf_counter() - began
    assert 2 <= service.max_concurrency <= 4
    assert 0.9 * wall <= sum(answer.seconds for answer in answers) <= wall


def test_ctrl_c_ends_the_waiting(service: FakeOpenAI) -> None:
    service.reply = lambda request: (
        Reply(429, {}, {"retry-after": "4"}) if len(service.requests) > 2 else None
    )

    def interrupt(ready: int, wanted: int) -> None:
        if ready == 2:  # three others wait by now, or will
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        completer(service).complete([ask(str(number)) for number in range(9)], interrupt)
    assert time.monotonic() - began < 2


LABELS = OutputConstraint(labels=("yes", "no"))


def test_labels_are_asked_for_as_an_object_and_taken_out_of_it(service: FakeOpenAI) -> None:
    service.answer = lambda question: '{"answer": "yes"}' if question == "a" else question
    answers = completer(service, form=LABELS).complete([ask("a"), ask("no object")])
    assert [answer.text for answer in answers] == ["yes", "no object"]
    asked = service.requests[0]["response_format"]["json_schema"]
    assert asked["strict"] is True and asked["schema"]["properties"]["answer"]["enum"] == [
        "yes",
        "no",
    ]


OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (OBJECT | {"required": ["a"]}, True),
        (OBJECT, False),
        ({"type": "array", "items": OBJECT | {"required": ["a"]}}, False),
        (
            OBJECT
            | {
                "required": ["a"],
                "properties": {"a": {"anyOf": [OBJECT, {"type": "null"}]}},
            },
            False,
        ),
    ],
)
def test_a_schema_is_strict_where_services_take_it_so(
    service: FakeOpenAI, schema: dict[str, Any], is_strict: bool
) -> None:
    completer(service, form=OutputConstraint(json_schema=schema)).complete([ask("a")])
    asked = service.requests[0]["response_format"]
    assert asked == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": is_strict},
    }


def test_a_service_without_forms_is_told(service: FakeOpenAI) -> None:
    service.reply = lambda request: (
        make_error_reply(400, "response_format is not supported") if len(request) > 5 else None
    )
    with pytest.raises(ProviderError) as raised:
        completer(service, form=LABELS).complete([ask("a")])
    assert str(raised.value) == (
        "error[provider/form-refused]: structured output is not supported by this "
        f"endpoint\n  at: remote, {service.url}/chat/completions\n  got: status 400, "
        "'response_format is not supported'\n  hint: remove this contender"
    )


def test_the_key_is_in_no_message_representation_or_log(
    service: FakeOpenAI, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    service.reply = lambda request: (
        make_error_reply(500, f"header {KEY}\x1b[31m\nbroke") if len(service.requests) > 1 else None
    )
    asked = completer(service)
    answers = asked.complete([ask("a"), ask("b")])
    assert answers[1].error == "status 500, 'header [key] [31m broke' (4 attempts)"
    told = repr(
        [
            asked,
            answers,
            asked._create_session(Redactor(KEY)),
            asked._get_connections(KEY),
            asked._create_client(KEY).headers,
        ]
    )
    printed = capsys.readouterr()
    assert KEY not in told + caplog.text + printed.out + printed.err


def test_a_missing_key_is_told_but_for_this_machine(
    service: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAKE_KEY")
    assert completer(service).complete([ask("a")])[0].text == "A"
    assert "authorization" not in service.headers[0]
    recipe = RemoteRecipe(
        name="far", base_url="https://api.example.com/v1", model="m", api_key_env="FAKE_KEY"
    )
    with pytest.raises(ProviderError) as raised:
        RemoteCompleter(recipe).complete([ask("a")])
    assert str(raised.value) == (
        "error[provider/no-key]: no API key for far\n  at: evaluation.remote\n  got: "
        "environment variable FAKE_KEY is empty\n  hint: export FAKE_KEY=...; or name "
        "another variable with api_key_env"
    )


def test_a_key_that_is_no_header_is_not_shown(
    service: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KEY", "sk\r\nX-Evil: 1")
    with pytest.raises(ProviderError, match="bad-key") as raised:
        completer(service).complete([ask("a")])
    assert "Evil" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1/chat/completions"),
        ("https://api.example.com/v1/", "https://api.example.com/v1/chat/completions"),
        (
            "https://api.example.com/v1/chat/completions",
            "https://api.example.com/v1/chat/completions",
        ),
        ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
        ("http://127.0.0.1", "http://127.0.0.1/chat/completions"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_where_is_asked(url: str, endpoint: str) -> None:
    assert build_endpoint_url(url) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/v1",
        "http://localhost.evil.com",
        "http://2130706433/v1",
        "http://[::ffff:10.0.0.1]/v1",
        "https://user:secret@api.example.com/v1",
        "https://secret@api.example.com",
        "https://api.example.com/v1?key=secret",
        "https://api.example.com/#secret",
        "file:///etc/passwd",
        "gopher://127.0.0.1",
        "api.example.com/v1",
        "",
        "https://",
        "https://[secret",
        "https://a:b/",
    ],
)
def test_other_urls_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(RecipeError, match="bad-url") as raised:
        build_endpoint_url(url)
    assert "secret" not in str(raised.value)
