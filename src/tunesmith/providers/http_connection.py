"""One connection to a service, on a thread of its own, so that whoever waits for an answer can always leave.

A time limit inside an HTTP library counts from one byte to the next: a service that sends a byte now and then (of a
header, of a body, of one `100 Continue` after the other) is waited for without end, and a host name that is being
looked up cannot be interrupted at all. So the exchange runs on a daemon thread, and the one who waits has the clock.
When the time is over, the thread's sockets are shut down, which wakes it, and it is left to end by itself: neither the
next request nor the end of the program waits for it.

What is read is bounded: `MAX_RESPONSE_BYTES` of a body, also after it was unpacked.
"""

import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import httpx2

MAX_RESPONSE_BYTES = 8 * 2**20
POLL_INTERVAL_SECONDS = 0.05
"""How often a wait looks whether everything is to be stopped."""
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class ResponseTooLarge(Exception):
    """The body is larger than what is read."""


class RequestStopped(Exception):
    """The wait was ended from outside."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """What came back, read to its end and unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


PendingRequest = tuple[str, bytes, "Future[RawResponse]"]


@dataclass
class _ConnectionThread:
    """What a line and its thread share: requests to send, the connection, whether nobody waits any more.

    `handle` is a second handle on the connection. The library closes its own, whose number may then name another
    connection; and TLS takes its own over.
    """

    requests: "SimpleQueue[PendingRequest | None]" = field(default_factory=SimpleQueue)
    socket_handle: socket.socket | None = None
    is_abandoned: threading.Event = field(default_factory=threading.Event)

    def save_socket(self, event: str, told: Mapping[str, Any]) -> None:
        """Told of each step of the HTTP library: keeps a handle on each new connection."""
        if not event.endswith("connect_tcp.complete"):
            return
        self.close_handle()
        self.socket_handle = told["return_value"].get_extra_info("socket").dup()
        if self.is_abandoned.is_set():
            self.abandon()

    def abandon(self) -> None:
        """Wake the thread out of whatever it reads or writes, and let it end."""
        self.is_abandoned.set()
        self.requests.put(None)
        if self.socket_handle is not None:
            with suppress(OSError):  # closed by the other side, or by the thread
                self.socket_handle.shutdown(socket.SHUT_RDWR)

    def close_handle(self) -> None:
        """Close the second handle."""
        if self.socket_handle is not None:
            self.socket_handle.close()


class HttpConnection:
    """Sends one request at a time; `open_client` makes the HTTP client, when the first request is sent."""

    def __init__(self, open_client: Callable[[], httpx2.Client]) -> None:
        self._open_client = open_client
        self._thread: _ConnectionThread | None = None

    def post(self, url: str, content: bytes, seconds: float, stop: threading.Event) -> RawResponse:
        """The service's reply, at the latest after `seconds`.

        Errors: `httpx2.HTTPError`, a `ReadTimeout` when the time is over; `ResponseTooLarge`; `RequestStopped`.
        """
        ends = time.monotonic() + seconds
        if self._thread is None:
            self._thread = _ConnectionThread()
            work = threading.Thread(
                target=_run_requests, args=(self._thread, self._open_client), name="line", daemon=True
            )
            work.start()
        reply: Future[RawResponse] = Future()
        self._thread.requests.put((url, content, reply))
        while not reply.done():
            left = ends - time.monotonic()
            if left <= 0 or stop.is_set():
                self.close()
                if stop.is_set():
                    raise RequestStopped
                raise httpx2.ReadTimeout(f"the answer did not end within {seconds:.3g} s")
            with suppress(TimeoutError):
                reply.exception(min(POLL_INTERVAL_SECONDS, left))
        return reply.result()

    def close(self) -> None:
        """Let the connection go, without waiting for it."""
        if self._thread is not None:
            self._thread.abandon()
            self._thread = None

    def __del__(self) -> None:
        self.close()


def _run_requests(thread: _ConnectionThread, open_client: Callable[[], httpx2.Client]) -> None:
    with open_client() as client:
        for url, content, reply in iter(thread.requests.get, None):
            try:
                reply.set_result(_send_request(client, url, content, thread))
            except Exception as error:  # handed on to the one who waits
                thread.close_handle()
                reply.set_exception(error)
    thread.close_handle()


def _send_request(client: httpx2.Client, url: str, content: bytes, thread: _ConnectionThread) -> RawResponse:
    with client.stream("POST", url, content=content, extensions={"trace": thread.save_socket}) as response:
        body = bytearray()
        for piece in response.iter_raw():
            body += piece
            if len(body) > MAX_RESPONSE_BYTES:
                raise ResponseTooLarge
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        return RawResponse(response.status_code, response.headers, decompress(bytes(body), packing))


def decompress(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was packed, which nobody asked for.

    Errors: `ResponseTooLarge` before it fills the memory; `httpx2.DecodingError`.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(f"packed as {encoding[:40]!r}, which was not asked for")
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        plain = unpacker.decompress(body, MAX_RESPONSE_BYTES + 1)
    except zlib.error as error:
        raise httpx2.DecodingError(str(error)) from None
    if len(plain) > MAX_RESPONSE_BYTES:
        raise ResponseTooLarge
    return plain
