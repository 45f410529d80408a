"""One request to a model behind an OpenAI-compatible URL: sent, tried again where that may help, and read.

| what happens                                        | what is done                                                  |
|-----------------------------------------------------|---------------------------------------------------------------|
| 408, 409, 425, 429, 5xx, no connection, no JSON,    | again after `Retry-After`, else after 0.5 s, 1 s, 2 s ...     |
| no whole answer within `request_seconds`            |                                                               |
| 400, 413, 422, an answer that is too large          | `Refused("request")`: this prompt cannot be answered          |
| 401, 403; 404; 3xx; quota used up; unknown host     | `Refused` of a kind in `FATAL`: asking on would change nothing |
| attempts or time used up                            | `Refused("gone")`                                             |

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
from tunesmith.providers.keys import Redactor
from tunesmith.providers.line import MOST_RESPONSE_BYTES, Line, Raw, Stopped, TooLarge
from tunesmith.records.recipe import is_loopback

AGAIN = (408, 409, 425, 429)
FATAL = ("key", "not-found", "redirect", "quota", "host", "certificate")
SHOWN = 200
REQUEST_IDS = ("x-request-id", "request-id")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one answer is waited for: `attempts` of `request_seconds` each, `answer_seconds` in all."""

    attempts: int = 6
    request_seconds: float = 120.0
    answer_seconds: float = 300.0
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0


class Refused(Exception):
    """There will be no answer. `kind` says whose matter it is, `told` what was found, without the key, `said` the
    service's own error as it came."""

    def __init__(self, kind: str, told: str, said: Mapping[str, Any] | None = None) -> None:
        super().__init__(told)
        self.kind = kind
        self.told = told
        self.said = said or {}


@dataclass(frozen=True)
class Again:
    """Why a request may be sent again, how long the service asks to be left alone, and whether it may have answered
    (and charged) although nothing arrived."""

    told: str
    wait_seconds: float | None = None
    is_lost: bool = False


@dataclass(frozen=True)
class Wire:
    """Where to post, what takes the key out of texts, and `stop`, which ends all waiting. `on_lost` is called for each
    request whose answer did not arrive."""

    url: str
    redact: Redactor
    patience: Patience
    stop: threading.Event
    on_lost: Callable[[], None] = lambda: None

    def post(self, payload: Mapping[str, Any], line: Line) -> dict[str, Any]:
        """The service's JSON object. Errors: `Refused`."""
        content = json.dumps(payload).encode()  # ASCII, so that half a surrogate pair cannot break it
        deadline = time.monotonic() + self.patience.answer_seconds
        for attempt in count(1):
            found = self._try(content, deadline, line)
            if not isinstance(found, Again):
                return found
            if found.is_lost:
                self.on_lost()
            wait = found.wait_seconds
            if wait is None:
                wait = min(self.patience.first_wait_seconds * 2 ** (attempt - 1), self.patience.longest_wait_seconds)
                wait *= 1 - random.random() / 4
            is_too_late = time.monotonic() + wait > deadline
            if attempt == self.patience.attempts or is_too_late or self.stop.wait(wait):
                asks = f", asks for {wait:,.0f} s without a request" if is_too_late and found.wait_seconds else ""
                raise Refused("gone", f"{found.told} (asked {attempt} time{'s' * (attempt > 1)}{asks})")
        raise AssertionError("unreachable")

    def _try(self, content: bytes, deadline: float, line: Line) -> dict[str, Any] | Again:
        """The answer, or why it may be asked for again. Errors: `Refused`."""
        seconds = min(self.patience.request_seconds, max(deadline - time.monotonic(), 0.0))
        try:
            raw = line.post(self.url, content, seconds, self.stop)
        except Stopped:
            return Again("the asking was ended")
        except TooLarge:
            raise Refused("request", f"an answer of more than {MOST_RESPONSE_BYTES // 2**20} MiB") from None
        except httpx2.HTTPError as error:
            _refuse_hopeless(error)
            told = f"{type(error).__name__}: {self._shown(str(error))}".rstrip(": ")
            return Again(told, is_lost=not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout))
        return self._read(raw)

    def _read(self, raw: Raw) -> dict[str, Any] | Again:
        """The JSON object of a good reply, or why it may be asked for again. Errors: `Refused`."""
        parsed = parse_reply(raw.body)
        is_good = 200 <= raw.status < 300 and isinstance(parsed, dict)
        if is_good and not parsed.get("error"):
            return dict(parsed)
        said = _error_of(parsed)
        code = said.get("code")
        is_coded = is_good and isinstance(code, int) and 400 <= code < 600
        status = code if is_coded and isinstance(code, int) else raw.status
        told = self._shown(str(said.get("message") or raw.body.decode("utf-8", "replace")))
        told = f"status {raw.status}" + (f", {told!r}" if told else "") + self._request_of(raw.headers)
        if not 200 <= status < 300:
            self._refuse(status, raw.headers, said, told)
        return Again(told, _retry_after(raw.headers), is_lost=200 <= status < 300)

    def _request_of(self, headers: Mapping[str, str]) -> str:
        """What the service calls the request, for those who ask it about that."""
        named = next((headers[name] for name in REQUEST_IDS if headers.get(name)), "")
        return f", request {self._shown(named)}" if named else ""

    def _refuse(self, status: int, headers: Mapping[str, str], said: Mapping[str, Any], told: str) -> None:
        """Errors: `Refused` where asking again would change nothing."""
        if status in (401, 403):  # what the service says of a key may hold parts of it
            raise Refused("key", f"status {status}{self._request_of(headers)}")
        if status == 404:
            raise Refused("not-found", told)
        if 300 <= status < 400:
            raise Refused("redirect", f"status {status}")
        if status == 402 or "insufficient_quota" in (said.get("code"), said.get("type")):
            raise Refused("quota", told)
        is_passing = status in AGAIN or status >= 500
        if not is_passing or headers.get("x-should-retry") == "false":
            raise Refused("request", told, said)

    def _shown(self, text: str) -> str:
        """A line without the key and without control characters."""
        line = "".join(c if c.isprintable() else " " for c in self.redact(text[: 10 * SHOWN]))
        line = " ".join(line.split())
        return line if len(line) <= SHOWN else f"{line[:SHOWN]} …"


def endpoint_of(url: str) -> str:
    """Where to post. Errors: `RecipeError` for what is no plain https URL; http is for this machine only."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad_url("no http or https URL", "write it like https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise _bad_url("a name or password inside it", "put the key into an environment variable and name it")
    if parts.query or parts.fragment:
        raise _bad_url("a ? or # inside it", "write it like https://api.example.com/v1")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _bad_url("http to another machine: key and questions would travel open", "use https")
    path = parts.path.rstrip("/")
    return (
        f"{parts.scheme}://{parts.netloc}{path if path.endswith('/chat/completions') else path + '/chat/completions'}"
    )


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is none shows only when it is read
        return parts
    except ValueError:
        return None


def _bad_url(found: str, do: str) -> RecipeError:
    """The URL itself is not shown: it may hold a password."""
    return RecipeError("bad-url", "This URL is not asked.", where="evaluation.remote", found=found, do=do)


def _refuse_hopeless(error: BaseException) -> None:
    """Errors: `Refused` when the host has no address or no good certificate."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror) and cause.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise Refused("host", "the host name has no address") from None
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise Refused("certificate", cause.verify_message) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def parse_reply(body: bytes) -> Any:
    """The JSON of a body; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_of(parsed: Any) -> Mapping[str, Any]:
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms`, or from `Retry-After` as seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
            return seconds if 0 <= seconds < float("inf") else None
        except ValueError:
            continue
    until = _date_in(headers, "retry-after")
    return None if until is None else max(0.0, until - (_date_in(headers, "date") or time.time()))


def _date_in(headers: Mapping[str, str], name: str) -> float | None:
    """A date as seconds since 1970."""
    try:
        return email.utils.parsedate_to_datetime(headers.get(name, "")).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
