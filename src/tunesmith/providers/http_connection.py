"""One connection to a service, on its own thread, so that a waiting caller can always give up.

Timeouts of an HTTP library run from one byte to the next: a service that sends a byte now and then
(of a header, of a body, of one `100 Continue` after another) is waited for indefinitely, and a host
name lookup cannot be interrupted at all. So the exchange runs on a daemon thread and the caller
watches the clock. On timeout the thread's sockets are shut down, which wakes it, and it ends by
itself: neither the next request nor interpreter exit waits for it.

The amount read is bounded: `MAX_RESPONSE_BYTES` of body, also after decompression.
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
"""How often a waiting caller checks the stop event, in seconds."""
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # adding 32 makes zlib detect the header format


class ResponseTooLarge(Exception):
    """The body exceeds `MAX_RESPONSE_BYTES`."""


class RequestStopped(Exception):
    """The wait was ended by the stop event."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A reply, read to its end and decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


PendingRequest = tuple[str, bytes, "Future[RawResponse]"]


@dataclass
class _ConnectionThread:
    """State shared by an `HttpConnection` and its thread: pending requests, the socket, whether the
    caller has given up.

    `socket_handle` is a duplicate of the connection's socket. The library closes its own
    descriptor, whose number may then belong to another connection; and TLS detaches the original
    socket.
    """

    requests: "SimpleQueue[PendingRequest | None]" = field(default_factory=SimpleQueue)
    socket_handle: socket.socket | None = None
    is_abandoned: threading.Event = field(default_factory=threading.Event)

    def save_socket(self, event: str, told: Mapping[str, Any]) -> None:
        """Trace callback of the HTTP library: duplicates the socket of each new connection."""
        if not event.endswith("connect_tcp.complete"):
            return
        self.close_handle()
        self.socket_handle = told["return_value"].get_extra_info("socket").dup()
        # The caller may have given up while the connection was being opened, when there was no
        # socket to shut down yet.
        if self.is_abandoned.is_set():
            self.abandon()

    def abandon(self) -> None:
        """Interrupt whatever the thread is reading or writing, and let it end."""
        self.is_abandoned.set()
        self.requests.put(None)
        if self.socket_handle is not None:
            with suppress(OSError):  # already closed by the other side or by the thread
                self.socket_handle.shutdown(socket.SHUT_RDWR)

    def close_handle(self) -> None:
        """Close the duplicate socket."""
        if self.socket_handle is not None:
            self.socket_handle.close()


class HttpConnection:
    """Sends one request at a time; `open_client` creates the HTTP client on the first request."""

    def __init__(self, open_client: Callable[[], httpx2.Client]) -> None:
        self._open_client = open_client
        self._thread: _ConnectionThread | None = None

    def post(self, url: str, content: bytes, seconds: float, stop: threading.Event) -> RawResponse:
        """The service's reply, within `seconds`.

        Errors: `httpx2.HTTPError`, with `ReadTimeout` when the time is up; `ResponseTooLarge`;
        `RequestStopped`.
        """
        ends = time.monotonic() + seconds
        if self._thread is None:
            self._thread = _ConnectionThread()
            work = threading.Thread(
                target=_run_requests,
                args=(self._thread, self._open_client),
                name="line",
                daemon=True,
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
                raise httpx2.ReadTimeout(f"response not complete within {seconds:.3g} s")
            # `exception` waits without raising the thread's error; `result` below raises it.
            with suppress(TimeoutError):
                reply.exception(min(POLL_INTERVAL_SECONDS, left))
        return reply.result()

    def close(self) -> None:
        """Abandon the connection without waiting for its thread."""
        if self._thread is not None:
            self._thread.abandon()
            self._thread = None

    def __del__(self) -> None:
        # Without this, the thread of a discarded connection would wait for requests forever.
        self.close()


def _run_requests(thread: _ConnectionThread, open_client: Callable[[], httpx2.Client]) -> None:
    with open_client() as client:
        for url, content, reply in iter(thread.requests.get, None):
            try:
                reply.set_result(_send_request(client, url, content, thread))
            except Exception as error:  # raised again by `post` in the caller's thread
                thread.close_handle()
                reply.set_exception(error)
    thread.close_handle()


def _send_request(
    client: httpx2.Client, url: str, content: bytes, thread: _ConnectionThread
) -> RawResponse:
    with client.stream(
        "POST", url, content=content, extensions={"trace": thread.save_socket}
    ) as response:
        body = bytearray()
        # Raw bytes, not the library's decompression: a small body may expand to gigabytes.
        for piece in response.iter_raw():
            body += piece
            if len(body) > MAX_RESPONSE_BYTES:
                raise ResponseTooLarge
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        return RawResponse(response.status_code, response.headers, decompress(bytes(body), packing))


def decompress(body: bytes, encoding: str) -> bytes:
    """The decompressed body; services may compress although only identity was requested.

    Errors: `ResponseTooLarge`, raised before the output fills the memory; `httpx2.DecodingError`.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(f"unrequested content encoding {encoding[:40]!r}")
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        # One byte more than allowed is enough to know that the body is too large.
        plain = unpacker.decompress(body, MAX_RESPONSE_BYTES + 1)
    except zlib.error as error:
        raise httpx2.DecodingError(str(error)) from None
    if len(plain) > MAX_RESPONSE_BYTES:
        raise ResponseTooLarge
    return plain
