"""One connection to a service, on a thread of its own, so that whoever waits for an answer can always leave.

A time limit inside an HTTP library counts from one byte to the next: a service that sends a byte now and then (of a
header, of a body, of one `100 Continue` after the other) is waited for without end, and a host name that is being
looked up cannot be interrupted at all. So the exchange runs on a daemon thread, and the one who waits has the clock.
When the time is over, the thread's sockets are shut down, which wakes it, and it is left to end by itself: neither the
next request nor the end of the program waits for it.

What is read is bounded: `MOST_RESPONSE_BYTES` of a body, also after it was unpacked.
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

MOST_RESPONSE_BYTES = 8 * 2**20
LOOK_SECONDS = 0.05
"""How often a wait looks whether everything is to be stopped."""
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class TooLarge(Exception):
    """The body is larger than what is read."""


class Stopped(Exception):
    """The wait was ended from outside."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What came back, read to its end and unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Order = tuple[str, bytes, "Future[Raw]"]


@dataclass
class _Thread:
    """What a line and its thread share: requests to send, the connection, whether nobody waits any more.

    `handle` is a second handle on the connection. The library closes its own, whose number may then name another
    connection; and TLS takes its own over.
    """

    orders: "SimpleQueue[Order | None]" = field(default_factory=SimpleQueue)
    handle: socket.socket | None = None
    is_left: threading.Event = field(default_factory=threading.Event)

    def trace(self, event: str, told: Mapping[str, Any]) -> None:
        """Told of each step of the HTTP library: keeps a handle on each new connection."""
        if not event.endswith("connect_tcp.complete"):
            return
        self.hang_up()
        self.handle = told["return_value"].get_extra_info("socket").dup()
        if self.is_left.is_set():
            self.leave()

    def leave(self) -> None:
        """Wake the thread out of whatever it reads or writes, and let it end."""
        self.is_left.set()
        self.orders.put(None)
        if self.handle is not None:
            with suppress(OSError):  # closed by the other side, or by the thread
                self.handle.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the second handle."""
        if self.handle is not None:
            self.handle.close()


class Line:
    """Sends one request at a time; `open_client` makes the HTTP client, when the first request is sent."""

    def __init__(self, open_client: Callable[[], httpx2.Client]) -> None:
        self._open_client = open_client
        self._thread: _Thread | None = None

    def post(self, url: str, content: bytes, seconds: float, stop: threading.Event) -> Raw:
        """The service's reply, at the latest after `seconds`.

        Errors: `httpx2.HTTPError`, a `ReadTimeout` when the time is over; `TooLarge`; `Stopped`.
        """
        ends = time.monotonic() + seconds
        if self._thread is None:
            self._thread = _Thread()
            work = threading.Thread(target=_serve, args=(self._thread, self._open_client), name="line", daemon=True)
            work.start()
        reply: Future[Raw] = Future()
        self._thread.orders.put((url, content, reply))
        while not reply.done():
            left = ends - time.monotonic()
            if left <= 0 or stop.is_set():
                self.close()
                if stop.is_set():
                    raise Stopped
                raise httpx2.ReadTimeout(f"the answer did not end within {seconds:.3g} s")
            with suppress(TimeoutError):
                reply.exception(min(LOOK_SECONDS, left))
        return reply.result()

    def close(self) -> None:
        """Let the connection go, without waiting for it."""
        if self._thread is not None:
            self._thread.leave()
            self._thread = None

    def __del__(self) -> None:
        self.close()


def _serve(thread: _Thread, open_client: Callable[[], httpx2.Client]) -> None:
    with open_client() as client:
        for url, content, reply in iter(thread.orders.get, None):
            try:
                reply.set_result(_exchange(client, url, content, thread))
            except Exception as error:  # handed on to the one who waits
                thread.hang_up()
                reply.set_exception(error)
    thread.hang_up()


def _exchange(client: httpx2.Client, url: str, content: bytes, thread: _Thread) -> Raw:
    with client.stream("POST", url, content=content, extensions={"trace": thread.trace}) as response:
        body = bytearray()
        for piece in response.iter_raw():
            body += piece
            if len(body) > MOST_RESPONSE_BYTES:
                raise TooLarge
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        return Raw(response.status_code, response.headers, unpacked(bytes(body), packing))


def unpacked(body: bytes, packing: str) -> bytes:
    """The body as it was before it was packed, which nobody asked for.

    Errors: `TooLarge` before it fills the memory; `httpx2.DecodingError`.
    """
    if packing in ("", "identity"):
        return body
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(f"packed as {packing[:40]!r}, which was not asked for")
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        plain = unpacker.decompress(body, MOST_RESPONSE_BYTES + 1)
    except zlib.error as error:
        raise httpx2.DecodingError(str(error)) from None
    if len(plain) > MOST_RESPONSE_BYTES:
        raise TooLarge
    return plain
