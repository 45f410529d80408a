"""One request to a model behind an OpenAI-compatible URL: sent, tried again where that may help, and read.

| what happens                                        | what is done                                                  |
|-----------------------------------------------------|---------------------------------------------------------------|
| 408, 409, 425, 429, 5xx, no connection, no JSON,    | again after `Retry-After`, else after 0.5 s, 1 s, 2 s ...     |
| no whole answer within `request_seconds`            |                                                               |
| 400, 413, 422, an answer that is too large          | `RequestFailed("request")`: this prompt cannot be answered          |
| 401, 403; 404; 3xx; quota used up; unknown host     | `RequestFailed` of a kind in `FATAL_KINDS`: asking on would change nothing |
| attempts or time used up                            | `RequestFailed("gone")`                                             |

An error inside a reply that says 200 counts by the code that it names; `"error": null` is none. A wait that a service
asks for is kept, but none is begun that would end after `answer_seconds`. A date in `Retry-After` is read against the
service's own `Date`, as clocks differ.

The key is a header of the client and stands in no message: what a service says is shown without it (`keys.py`).

Source of codes and waits (doubled, less up to a quarter by chance): the openai client's `_base_client.py`;
`Retry-After`: RFC 9110, 10.2.3.
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
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx2

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
    """How long one answer is waited for: `attempts` of `request_seconds` each, `answer_seconds` in all."""

    max_attempts: int = 6
    request_seconds: float = 120.0
    answer_seconds: float = 300.0
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 30.0


class RequestFailed(Exception):
    """There will be no answer. `kind` says whose matter it is, `told` what was found, without the key, `said` the
    service's own error as it came."""

    def __init__(self, kind: str, detail: str, service_error: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.service_error = service_error or {}


@dataclass(frozen=True)
class RetryReason:
    """Why a request may be sent again, how long the service asks to be left alone, and whether it may have answered
    (and charged) although nothing arrived."""

    detail: str
    wait_seconds: float | None = None
    is_lost: bool = False


@dataclass(frozen=True)
class HttpSession:
    """Where to post, what takes the key out of texts, and `stop`, which ends all waiting. `on_lost` is called for each
    request whose answer did not arrive."""

    url: str
    redact: Redactor
    retry_policy: RetryPolicy
    stop: threading.Event
    on_lost: Callable[[], None] = lambda: None

    def post(self, payload: Mapping[str, Any], connection: HttpConnection) -> dict[str, Any]:
        """The service's JSON object. Errors: `RequestFailed`."""
        content = json.dumps(payload).encode()  # ASCII, so that half a surrogate pair cannot break it
        deadline = time.monotonic() + self.retry_policy.answer_seconds
        for attempt in count(1):
            found = self._send_once(content, deadline, connection)
            if not isinstance(found, RetryReason):
                return found
            if found.is_lost:
                self.on_lost()
            wait = found.wait_seconds
            if wait is None:
                wait = min(
                    self.retry_policy.first_wait_seconds * 2 ** (attempt - 1), self.retry_policy.max_wait_seconds
                )
                wait *= 1 - random.random() / 4
            is_too_late = time.monotonic() + wait > deadline
            if attempt == self.retry_policy.max_attempts or is_too_late or self.stop.wait(wait):
                asks = f", asks for {wait:,.0f} s without a request" if is_too_late and found.wait_seconds else ""
                raise RequestFailed("gone", f"{found.detail} (asked {attempt} time{'s' * (attempt > 1)}{asks})")
        raise AssertionError("unreachable")

    def _send_once(self, content: bytes, deadline: float, connection: HttpConnection) -> dict[str, Any] | RetryReason:
        """The answer, or why it may be asked for again. Errors: `RequestFailed`."""
        seconds = min(self.retry_policy.request_seconds, max(deadline - time.monotonic(), 0.0))
        try:
            raw = connection.post(self.url, content, seconds, self.stop)
        except RequestStopped:
            return RetryReason("the asking was ended")
        except ResponseTooLarge:
            raise RequestFailed("request", f"an answer of more than {MAX_RESPONSE_BYTES // 2**20} MiB") from None
        except httpx2.HTTPError as error:
            _raise_if_unreachable(error)
            told = f"{type(error).__name__}: {self._redact_line(str(error))}".rstrip(": ")
            return RetryReason(told, is_lost=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout))
        return self._parse_response(raw)

    def _parse_response(self, raw: RawResponse) -> dict[str, Any] | RetryReason:
        """The JSON object of a good reply, or why it may be asked for again. Errors: `RequestFailed`."""
        parsed = parse_reply(raw.body)
        is_good = 200 <= raw.status < 300 and isinstance(parsed, dict)
        if is_good and not parsed.get("error"):
            return dict(parsed)
        said = _extract_error(parsed)
        code = said.get("code")
        is_coded = is_good and isinstance(code, int) and 400 <= code < 600
        status = code if is_coded and isinstance(code, int) else raw.status
        told = self._redact_line(str(said.get("message") or raw.body.decode("utf-8", "replace")))
        told = f"status {raw.status}" + (f", {told!r}" if told else "") + self._format_request_id(raw.headers)
        if not 200 <= status < 300:
            self._raise_if_permanent(status, raw.headers, said, told)
        return RetryReason(told, _parse_retry_after(raw.headers), is_lost=200 <= status < 300)

    def _format_request_id(self, headers: Mapping[str, str]) -> str:
        """What the service calls the request, for those who ask it about that."""
        named = next((headers[name] for name in REQUEST_IDS if headers.get(name)), "")
        return f", request {self._redact_line(named)}" if named else ""

    def _raise_if_permanent(self, status: int, headers: Mapping[str, str], said: Mapping[str, Any], told: str) -> None:
        """Errors: `RequestFailed` where asking again would change nothing."""
        if status in (401, 403):  # what the service says of a key may hold parts of it
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
        """A line without the key and without control characters."""
        line = "".join(c if c.isprintable() else " " for c in self.redact(text[: 10 * MAX_SHOWN_CHARACTERS]))
        line = " ".join(line.split())
        return line if len(line) <= MAX_SHOWN_CHARACTERS else f"{line[:MAX_SHOWN_CHARACTERS]} …"


def build_endpoint_url(url: str) -> str:
    """Where to post. Errors: `RecipeError` for what is no plain https URL; http is for this machine only."""
    parts = _parse_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise _make_url_error("no http or https URL", "write it like https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise _make_url_error("a name or password inside it", "put the key into an environment variable and name it")
    if parts.query or parts.fragment:
        raise _make_url_error("a ? or # inside it", "write it like https://api.example.com/v1")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _make_url_error("http to another machine: key and questions would travel open", "use https")
    path = parts.path.rstrip("/")
    return (
        f"{parts.scheme}://{parts.netloc}{path if path.endswith('/chat/completions') else path + '/chat/completions'}"
    )


def _parse_url(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is none shows only when it is read
        return parts
    except ValueError:
        return None


def _make_url_error(found: str, do: str) -> RecipeError:
    """The URL itself is not shown: it may hold a password."""
    return RecipeError("bad-url", "This URL is not asked.", where="evaluation.remote", found=found, do=do)


def _raise_if_unreachable(error: BaseException) -> None:
    """Errors: `RequestFailed` when the host has no address or no good certificate."""
    for cause in _iterate_causes(error):
        if isinstance(cause, socket.gaierror) and cause.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise RequestFailed("host", "the host name has no address") from None
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise RequestFailed("certificate", cause.verify_message) from None


def _iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def parse_reply(body: bytes) -> Any:
    """The JSON of a body; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _extract_error(parsed: Any) -> Mapping[str, Any]:
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms`, or from `Retry-After` as seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
            return seconds if 0 <= seconds < float("inf") else None
        except ValueError:
            continue
    until = _parse_date(headers, "retry-after")
    return None if until is None else max(0.0, until - (_parse_date(headers, "date") or time.time()))


def _parse_date(headers: Mapping[str, str], name: str) -> float | None:
    """A date as seconds since 1970."""
    try:
        return email.utils.parsedate_to_datetime(headers.get(name, "")).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
