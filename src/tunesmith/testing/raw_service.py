"""A service on this machine that sends bytes as a function says: for what no HTTP server would
send.

def hang(connection):
    connection.request()
    connection.send_until_left(b"x")

with RawService(hang) as service:
    RemoteRecipe(name="remote", url=service.url, model="raw")
"""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

SEND_INTERVAL_SECONDS = 0.02


class Connection:
    """An accepted connection. `is_stopped` is set when the service ends, so that nothing here waits
    longer.
    """

    def __init__(self, accepted: socket.socket, is_stopped: threading.Event) -> None:
        self.socket = accepted
        self.is_stopped = is_stopped

    def read_request(self) -> bytes:
        """Read one whole request, head and body, and return the head."""
        head = b""
        while b"\r\n\r\n" not in head:
            # An empty read means that the client has closed the connection.
            if not (got := self.socket.recv(2**16)):
                raise ConnectionError
            head += got
        head, _, body = head.partition(b"\r\n\r\n")
        wanted = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        while len(body) < wanted:
            body += self.socket.recv(2**16)
        return head

    def send(self, data: bytes) -> None:
        """Send all of the data."""
        self.socket.sendall(data)

    def send_reply(self, body: Any, *headers: str, status: str = "200 OK") -> None:
        """Send a reply with its length, after which the connection closes; the body as JSON unless
        it is bytes.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [
            f"HTTP/1.1 {status}",
            f"content-length: {len(data)}",
            "connection: close",
            *headers,
            "",
            "",
        ]
        self.send("\r\n".join(head).encode() + data)

    def send_until_closed(self, piece: bytes) -> None:
        """Send the same bytes repeatedly, until the client has gone or the service ends."""
        while not self.is_stopped.wait(SEND_INTERVAL_SECONDS):
            self.send(piece)

    def wait_for_stop(self) -> None:
        """Wait until the service ends."""
        self.is_stopped.wait()


class RawService:
    """Listens while its context is entered; each connection is handled by `handle` in its own
    thread.

    `connection_count` counts the connections; `is_reached` is set by the first.
    """

    def __init__(self, handle: Callable[[Connection], None]) -> None:
        self._handle = handle
        self._is_stopped = threading.Event()
        self.connection_count = 0
        self.is_reached = threading.Event()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_stopped.set()
        with suppress(OSError):
            # close alone does not wake a thread that is blocked in accept.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The `url` of a recipe."""
        return f"http://127.0.0.1:{self.port}/v1"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connection_count += 1
                self.is_reached.set()
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted, suppress(OSError):
            self._handle(Connection(accepted, self._is_stopped))
