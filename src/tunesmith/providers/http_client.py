"""One request to a model behind an OpenAI-compatible URL: send, retry where useful, parse.

| event                                               | action                                  |
|-----------------------------------------------------|-----------------------------------------|
| 408, 409, 425, 429, 5xx, no connection, no JSON,    | retry after `Retry-After`, else after   |
| no complete answer within `request_seconds`         | 0.5 s, 1 s, 2 s ...                     |
| 400, 413, 422, an answer that is too large          | `RequestFailed("request")`: this prompt |
|                                                     | cannot be answered                      |
| 401, 403; 404; 3xx; quota exhausted; unknown host   | `RequestFailed` with a kind of          |
|                                                     | `FATAL_KINDS`: retrying is pointless    |
| attempts or time exhausted                          | `RequestFailed("gone")`                 |

An error inside a reply with status 200 counts by the code in its body; `"error": null` is no error.
A wait that the service requests is respected, but no wait starts that would end after
`answer_seconds`. A date in `Retry-After` is compared with the service's own `Date` header, because
clocks differ.

The key is a header of the client and appears in no message: text from the service is redacted
before it is shown (`api_keys.py`).

Source of status codes and waits (doubled, minus up to a quarter of random jitter): the openai
client's `_base_client.py`; `Retry-After`: RFC 9110, 10.2.3.
"""

import email.utils
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx2
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_result,
    sleep_using_event,
    stop_after_attempt,
    stop_before_delay,
    stop_when_event_set,
    wait_exponential,
)

from tunesmith.errors import RecipeError
from tunesmith.providers.api_keys import Redactor
from tunesmith.providers.http_connection import (
    MAX_RESPONSE_BYTES,
    HttpConnection,
    RawResponse,
    RequestStopped,
    ResponseTooLarge,
)
from tunesmith.records.recipe import is_loopback

RETRYABLE_STATUS = (408, 409, 425, 429)
FATAL_KINDS = ("key", "not-found", "redirect", "quota", "host", "certificate")
MAX_SHOWN_CHARACTERS = 200
REQUEST_IDS = ("x-request-id", "request-id")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits on one answer: at most `max_attempts` requests of `request_seconds` each, and
    `answer_seconds` in total, waits included."""

    max_attempts: int = 6
    request_seconds: float = 120.0
    answer_seconds: float = 300.0
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 30.0


class RequestFailed(Exception):
    """The request has failed for good. `kind` names the cause (see the module's table), `detail` is
    the redacted description, `service_error` the service's error object as received."""

    def __init__(
        self, kind: str, detail: str, service_error: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.service_error = service_error or {}


@dataclass(frozen=True)
class RetryReason:
    """Why a request may be retried. `wait_seconds` is the delay that the service requests;
    `is_lost` is True if the service may have answered (and charged) although no answer arrived."""

    detail: str
    wait_seconds: float | None = None
    is_lost: bool = False


def _get_reason(state: RetryCallState) -> RetryReason:
    """Why the last attempt may be repeated."""
    assert state.outcome is not None
    reason: RetryReason = state.outcome.result()
    return reason


@dataclass(frozen=True)
class HttpSession:
    """The endpoint, the redactor for texts, and `stop`, which ends all waiting. `on_lost` is called
    for each request whose answer did not arrive."""

    url: str
    redact: Redactor
    retry_policy: RetryPolicy
    stop: threading.Event
    on_lost: Callable[[], None] = lambda: None

    def post(self, payload: Mapping[str, Any], connection: HttpConnection) -> dict[str, Any]:
        """The service's JSON object. Errors: `RequestFailed`."""
        content = json.dumps(payload).encode()  # ASCII only, so a lone surrogate cannot fail
        deadline = time.monotonic() + self.retry_policy.answer_seconds
        retrying = Retrying(
            retry=retry_if_result(lambda found: isinstance(found, RetryReason)),
            stop=stop_after_attempt(self.retry_policy.max_attempts)
            | stop_before_delay(self.retry_policy.answer_seconds)
            | stop_when_event_set(self.stop),
            wait=self._choose_wait,
            sleep=sleep_using_event(self.stop),  # returns early when all is stopped
            after=self._count_lost,
            retry_error_callback=self._give_up,
        )
        reply = retrying(self._send_once, content, deadline, connection)
        assert not isinstance(reply, RetryReason)  # `_give_up` raises on the last one
        return reply

    def _choose_wait(self, state: RetryCallState) -> float:
        """Seconds until the next attempt: those that the service requests, else 0.5, 1, 2 ..."""
        if (requested := _get_reason(state).wait_seconds) is not None:
            return requested
        policy = self.retry_policy
        doubled = wait_exponential(policy.first_wait_seconds, policy.max_wait_seconds)(state)
        # Jitter, so that concurrent requests rejected together do not retry together.
        return doubled * (1 - random.random() / 4)

    def _count_lost(self, state: RetryCallState) -> None:
        if _get_reason(state).is_lost:
            self.on_lost()

    def _give_up(self, state: RetryCallState) -> NoReturn:
        """Errors: `RequestFailed`, with the last reason and the number of attempts."""
        reason, attempts = _get_reason(state), state.attempt_number
        elapsed = state.seconds_since_start or 0.0
        is_too_late = elapsed + state.upcoming_sleep >= self.retry_policy.answer_seconds
        asks = (
            f", asks to wait {reason.wait_seconds:,.0f} s"
            if is_too_late and reason.wait_seconds
            else ""
        )
        raise RequestFailed(
            "gone", f"{reason.detail} ({attempts} attempt{'s' * (attempts > 1)}{asks})"
        )

    def _send_once(
        self, content: bytes, deadline: float, connection: HttpConnection
    ) -> dict[str, Any] | RetryReason:
        """The reply, or the reason for a retry. Errors: `RequestFailed`."""
        seconds = min(self.retry_policy.request_seconds, max(deadline - time.monotonic(), 0.0))
        try:
            raw = connection.post(self.url, content, seconds, self.stop)
        except RequestStopped:
            return RetryReason("interrupted")
        except ResponseTooLarge:
            raise RequestFailed(
                "request", f"response over {MAX_RESPONSE_BYTES // 2**20} MiB"
            ) from None
        except httpx2.HTTPError as error:
            _raise_if_unreachable(error)
            told = f"{type(error).__name__}: {self._redact_line(str(error))}".rstrip(": ")
            # Without a connection the service cannot have seen the request, so nothing is charged.
            return RetryReason(
                told, is_lost=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            )
        return self._parse_response(raw)

    def _parse_response(self, raw: RawResponse) -> dict[str, Any] | RetryReason:
        """The JSON object of a good reply, or the reason for a retry. Errors: `RequestFailed`."""
        parsed = parse_reply(raw.body)
        is_good = 200 <= raw.status < 300 and isinstance(parsed, dict)
        if is_good and not parsed.get("error"):
            return dict(parsed)
        said = _extract_error(parsed)
        # Some gateways answer 200 and put the upstream's status code into the error object.
        code = said.get("code")
        is_coded = is_good and isinstance(code, int) and 400 <= code < 600
        status = code if is_coded and isinstance(code, int) else raw.status
        told = self._redact_line(str(said.get("message") or raw.body.decode("utf-8", "replace")))
        told = (
            f"status {raw.status}"
            + (f", {told!r}" if told else "")
            + self._format_request_id(raw.headers)
        )
        if not 200 <= status < 300:
            self._raise_if_permanent(status, raw.headers, said, told)
        return RetryReason(told, _parse_retry_after(raw.headers), is_lost=200 <= status < 300)

    def _format_request_id(self, headers: Mapping[str, str]) -> str:
        """The service's request id as `, request ID`, for support requests; else an empty text."""
        named = next((headers[name] for name in REQUEST_IDS if headers.get(name)), "")
        return f", request {self._redact_line(named)}" if named else ""

    def _raise_if_permanent(
        self, status: int, headers: Mapping[str, str], said: Mapping[str, Any], told: str
    ) -> None:
        """Errors: `RequestFailed` if a retry cannot succeed."""
        if status in (401, 403):  # the service's message about a key may quote parts of it
            raise RequestFailed("key", f"status {status}{self._format_request_id(headers)}")
        if status == 404:
            raise RequestFailed("not-found", told)
        if 300 <= status < 400:
            raise RequestFailed("redirect", f"status {status}")
        if status == 402 or "insufficient_quota" in (said.get("code"), said.get("type")):
            raise RequestFailed("quota", told)
        is_passing = status in RETRYABLE_STATUS or status >= 500
        if not is_passing or headers.get("x-should-retry") == "false":
            raise RequestFailed("request", told, said)

    def _redact_line(self, text: str) -> str:
        """The text in one line, without the key and without control characters."""
        # Cut before redacting: a body may have megabytes, and redaction reads every position.
        line = "".join(
            c if c.isprintable() else " " for c in self.redact(text[: 10 * MAX_SHOWN_CHARACTERS])
        )
        line = " ".join(line.split())
        return line if len(line) <= MAX_SHOWN_CHARACTERS else f"{line[:MAX_SHOWN_CHARACTERS]} …"


def build_endpoint_url(url: str) -> str:
    """The endpoint to post to.

    Errors: `RecipeError` unless it is a plain https URL; http is accepted for this machine only.
    """
    parts = _parse_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise _make_url_error(
            "not an http or https URL", "write it like https://api.example.com/v1"
        )
    if parts.username is not None or parts.password is not None:
        raise _make_url_error(
            "a user name or password",
            "put the API key into an environment variable and name that in the recipe",
        )
    if parts.query or parts.fragment:
        raise _make_url_error("a ? or #", "write it like https://api.example.com/v1")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _make_url_error("plain http to a remote host would expose key and data", "use https")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith('/chat/completions') else path + '/chat/completions'}"  # noqa: E501


def _parse_url(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port  # an invalid port raises only when it is read
        return parts
    except ValueError:
        return None


def _make_url_error(got: str, hint: str) -> RecipeError:
    """The message omits the URL itself, which may hold a password."""
    return RecipeError(
        "bad-url", "invalid endpoint URL", at="evaluation.remote", got=got, hint=hint
    )


def _raise_if_unreachable(error: BaseException) -> None:
    """Errors: `RequestFailed` if the host name does not resolve or TLS verification fails."""
    for cause in _iterate_causes(error):
        # Other resolver errors (EAI_AGAIN) are temporary and worth a retry.
        if isinstance(cause, socket.gaierror) and cause.errno in (
            socket.EAI_NONAME,
            socket.EAI_NODATA,
        ):
            raise RequestFailed("host", "host name cannot be resolved") from None
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise RequestFailed("certificate", cause.verify_message) from None


def _iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def parse_reply(body: bytes) -> Any:
    """The parsed JSON of a body; None if it is not valid JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # deeply nested arrays exhaust the parser's recursion
        return None


def _extract_error(parsed: Any) -> Mapping[str, Any]:
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """The delay in seconds from `retry-after-ms`, or from `Retry-After` as seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
            return seconds if 0 <= seconds < float("inf") else None
        except ValueError:
            continue
    until = _parse_date(headers, "retry-after")
    return (
        None if until is None else max(0.0, until - (_parse_date(headers, "date") or time.time()))
    )


def _parse_date(headers: Mapping[str, str], name: str) -> float | None:
    """A date header in seconds since 1970; None if it is missing or invalid."""
    try:
        return email.utils.parsedate_to_datetime(headers.get(name, "")).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
