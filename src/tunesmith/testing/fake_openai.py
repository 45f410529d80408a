"""A local service that implements OpenAI's chat completions, with the faults of real services.

    faults = [Reply(429, headers={"retry-after": "0"})]
    with FakeOpenAI(lambda prompt: prompt.upper(), faults=faults) as service:
        RemoteRecipe(name="remote", url=service.url, model="fake")

It answers the last message with a function of its text; for None it returns 400, as for a prompt
that is too long. Words count as tokens. `faults` are sent first, one per request; `requests` holds
the request bodies, `headers` their headers.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """A reply in place of an answer. `closes_connection`: the connection is closed without a
    reply.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    closes_connection: bool = False


def make_error_reply(status: int, message: str, **parts: str) -> Reply:
    """An error in OpenAI's format."""
    return Reply(
        status,
        {"error": {"message": message, "type": "error", "param": None, "code": None, **parts}},
    )


def make_chat_completion(text: str | None, question: str = "", **parts: Any) -> dict[str, Any]:
    """The body of a successful reply; `parts` override fields of its choice."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        **parts,
    }
    usage = {
        "prompt_tokens": len(question.split()) + 1,
        "completion_tokens": len((text or "").split()),
    }
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}


class FakeOpenAI:
    """The service, running while its context is entered."""

    def __init__(
        self,
        answer: Callable[[str], str | None],
        faults: Sequence[Reply] = (),
        reply: Callable[[dict[str, Any]], Reply | None] = lambda request: None,
    ) -> None:
        self.answer = answer
        self.faults = list(faults)
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.max_concurrency = 0
        self._active_requests = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _make_handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The `url` of a recipe."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def choose_reply(self, request: dict[str, Any], headers: dict[str, str]) -> Reply:
        """The next fault, else the result of `reply`, else the answer."""
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            self._active_requests += 1
            self.max_concurrency = max(self.max_concurrency, self._active_requests)
            fault = self.faults.pop(0) if self.faults else self.reply(request)
        try:
            if fault is not None:
                # Outside the lock: concurrent requests must be able to overlap.
                time.sleep(fault.wait_seconds)
                return fault
            question = request["messages"][-1]["content"] if request["messages"] else ""
            text = self.answer(question)
            if text is None:
                return make_error_reply(
                    400,
                    "This model's maximum context length is exceeded.",
                    code="context_length_exceeded",
                )
            return Reply(body=make_chat_completion(text, question))
        finally:
            with self._lock:
                self._active_requests -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


def _make_handler(service: FakeOpenAI) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            is_known = self.path == "/v1/chat/completions"
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = (
                service.choose_reply(request, headers)
                if is_known
                else make_error_reply(404, "no such path")
            )
            if reply.closes_connection:
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    return Handler
