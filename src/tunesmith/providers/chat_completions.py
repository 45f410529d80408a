"""One request to a model behind an OpenAI-compatible URL: sent, tried again where that may help, and read.

| what happens                                        | what is done                                                  |
|-----------------------------------------------------|---------------------------------------------------------------|
| 408, 409, 429, 5xx, no connection, timeout, no JSON | again after `Retry-After`, else after 0.5 s, 1 s, 2 s ...     |
| 400, 413, 422, an answer that is too large          | `Refused("request")`: this prompt cannot be answered          |
| 401, 403; 404; 3xx; quota used up; unknown host     | `Refused` of a kind in `FATAL`: asking on would change nothing |
| attempts or time used up                            | `Refused("gone")`                                             |

The key is a header of the client and stands in no message: what a service says is shown without it.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tunesmith.errors import RecipeError
from tunesmith.records.recipe import is_loopback

MOST_RESPONSE_BYTES = 8 * 2**20
AGAIN = (408, 409, 429)
FATAL = ("key", "not-found", "redirect", "quota", "host", "certificate")
SHOWN = 200


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
class Wire:
    """A client with the key in its headers, the endpoint, and `stop`, which ends all waiting."""

    client: httpx2.Client
    url: str
    key: str = field(repr=False)
    patience: Patience
    stop: threading.Event

    def post(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The service's JSON object. Errors: `Refused`."""
        content = json.dumps(payload).encode()  # ASCII, so that half a surrogate pair cannot break it
        deadline = time.monotonic() + self.patience.answer_seconds
        for attempt in count(1):
            told, wait = self._try(content, deadline)
            if isinstance(told, dict):
                return told
            if wait is None:
                wait = min(self.patience.first_wait_seconds * 2 ** (attempt - 1), self.patience.longest_wait_seconds)
                wait *= 1 - random.random() / 4
            if attempt == self.patience.attempts or time.monotonic() + wait > deadline or self.stop.wait(wait):
                raise Refused("gone", f"{told} (asked {attempt} time{'s' * (attempt > 1)})")
        raise AssertionError("unreachable")

    def _try(self, content: bytes, deadline: float) -> tuple[dict[str, Any] | str, float | None]:
        """(the answer, or why it may be asked again; how long the service wants to be left alone)."""
        try:
            status, headers, body = self._send(content, deadline)
        except httpx2.TransportError as error:
            _refuse_hopeless(error)
            return f"{type(error).__name__}: {self._shown(str(error))}".rstrip(": "), None
        parsed = _parsed(body)
        if status == 200 and isinstance(parsed, dict) and "error" not in parsed:
            return parsed, None
        said = _error_of(parsed)
        told = self._shown(str(said.get("message") or body.decode("utf-8", "replace")))
        told = f"status {status}" + (f", {told!r}" if told else "")
        if status != 200:
            self._refuse(status, headers, said, told)
        return told, _retry_after(headers)

    def _send(self, content: bytes, deadline: float) -> tuple[int, httpx2.Headers, bytes]:
        """Status, headers and body, read as far as it may be. Errors: `Refused` when it is larger."""
        with self.client.stream("POST", self.url, content=content) as response:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_RESPONSE_BYTES:
                    raise Refused("request", f"an answer of more than {MOST_RESPONSE_BYTES // 2**20} MiB")
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("the answer did not end")
            return response.status_code, response.headers, bytes(body)

    def _refuse(self, status: int, headers: httpx2.Headers, said: Mapping[str, Any], told: str) -> None:
        """Errors: `Refused` where asking again would change nothing."""
        if status in (401, 403):
            raise Refused("key", f"status {status}")  # what the service says of a key may hold parts of it
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
        text = text.replace(self.key, "[key]") if self.key else text
        line = "".join(c if c.isprintable() else " " for c in text[: 10 * SHOWN])
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


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_of(parsed: Any) -> Mapping[str, Any]:
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else {}
    return error if isinstance(error, dict) else {"message": error}


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds from `retry-after-ms`, or from `Retry-After` as seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
            return seconds if 0 <= seconds < float("inf") else None
        except ValueError:
            continue
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
