"""Render untrusted chat templates in one child process that lives as long as their tokenizer.

Every rendering has at most `seconds` of processor time and the process at most `max_bytes` of
address space. The kernel enforces both, so no kind of slowness or growth gets around them. The
child inherits no environment variables and can write no file. Requests are sent in batches, so that
a rendering costs hardly more than in this process (docs/decisions/096).

Once a limit is hit, the child ends and nothing else is rendered.
"""

import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

from tunesmith.models.template_worker import TemplateFailed

MAX_RENDERING_SECONDS = 2.0
MAX_BYTES = 512 * 2**20
MAX_STALLED_SECONDS = 120.0
"""How long to wait for a child that uses no processor time. A child that does is never abandoned:
the kernel ends it at its own limit, which a busy machine cannot shorten."""
POLL_SECONDS = 5.0
BATCH_SIZE = 128


class Conversation(NamedTuple):
    """A conversation and its prefixes to render: (number of messages, is the answer open)."""

    template: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    prefixes: Sequence[tuple[int, bool]]


class TemplateProcess:
    """Named templates and the child process that renders them, started on first use."""

    def __init__(
        self,
        templates: Mapping[str, str],
        shared: Mapping[str, Any],
        seconds: float = MAX_RENDERING_SECONDS,
        max_bytes: int = MAX_BYTES,
        stalled_seconds: float = MAX_STALLED_SECONDS,
    ) -> None:
        """`shared` holds variables that every rendering sees, in addition to messages and tools."""
        self._templates = dict(templates)
        self._start_frame = [seconds, max_bytes, self._templates, dict(shared)]
        self._stalled_seconds = stalled_seconds
        self._limit_error = TemplateFailed(
            f"it needs more than {seconds:g} s or {max_bytes // 2**20} MiB", is_limit=True
        )
        self._is_limit_reached = False
        self._child: subprocess.Popen[bytes] | None = None
        self._finalizer: Any = None
        self._lock = threading.Lock()

    def get_template(self, name: str) -> str:
        """The source text of the template with this name."""
        return str(self._templates[name])

    def render(self, conversations: Sequence[Conversation]) -> list[list[str | TemplateFailed]]:
        """For each conversation the text of each prefix, or why it could not be rendered.

        Errors: `TemplateFailed` with `is_limit` when a limit is hit, and on every later call.
        """
        with self._lock:
            answers: list[list[str | TemplateFailed]] = []
            for begin in range(0, len(conversations), BATCH_SIZE):
                answers += self._render_batch(conversations[begin : begin + BATCH_SIZE])
            return answers

    def _render_batch(self, batch: Sequence[Conversation]) -> list[list[str | TemplateFailed]]:
        if self._is_limit_reached:
            raise self._limit_error
        try:
            frame = json.dumps(batch).encode()
        except RecursionError:
            return [
                [TemplateFailed("it is nested too deeply")] * len(one.prefixes) for one in batch
            ]
        # A child that something else killed (not a limit of ours) is restarted once.
        for attempt in (1, 2):
            child = self._child or self._start_child()
            try:
                _write_frame(child, frame)
                return _parse_texts(_read_frame(child, self._stalled_seconds))
            except (OSError, EOFError, TimeoutError, ValueError, TemplateFailed) as error:
                self._stop_child()
                # The CPU timer of the child raises SIGPROF: that is how a time limit shows here.
                is_limit = isinstance(error, TemplateFailed) or child.wait() == -signal.SIGPROF
                if isinstance(error, TemplateFailed):
                    self._limit_error = error
                elif not is_limit:
                    self._limit_error = TemplateFailed(
                        _explain_failure(child, error), is_limit=True
                    )
                # TimeoutError is a subclass of OSError, but a stalled child is no lost child.
                is_gone = isinstance(error, OSError | EOFError) and not isinstance(
                    error, TimeoutError
                )
                if attempt == 2 or not is_gone or is_limit:
                    break
        self._is_limit_reached = True
        raise self._limit_error

    def _start_child(self) -> "subprocess.Popen[bytes]":
        # -P keeps the current folder off sys.path: a json.py there would run as our module.
        command = [sys.executable, "-P", "-m", "tunesmith.models.template_worker"]
        environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._child = child
        # finalize also runs at interpreter exit, so no child outlives a tokenizer.
        self._finalizer = weakref.finalize(self, _kill_child, child)
        with suppress(OSError):  # the child is gone already: reading its answer reports why
            _write_frame(child, json.dumps(self._start_frame).encode())
        return child

    def _stop_child(self) -> None:
        self._child = None
        if self._finalizer is not None:
            self._finalizer()


def _parse_texts(raw: bytes) -> list[list[str | TemplateFailed]]:
    # JSON escapes lone surrogates as \ud...: without one in the raw bytes no text needs the check.
    has_surrogates = b"\\ud" in raw
    answers: list[list[str | TemplateFailed]] = []
    for items in json.loads(raw):
        first: str | None = None
        texts: list[str | TemplateFailed] = []
        for item in items:
            if isinstance(item, list):
                if item[1]:
                    raise TemplateFailed(item[0], is_limit=True)
                texts.append(TemplateFailed(item[0]))
                continue
            # A number is the length of a prefix of the first text, which saves sending it again.
            text = item if first is None or isinstance(item, str) else first[:item]
            first = text if first is None else first
            texts.append(_check_surrogates(text) if has_surrogates else text)
        answers.append(texts)
    return answers


def _check_surrogates(text: str) -> str | TemplateFailed:
    """Reject half of a surrogate pair, on which the tokenizer would raise TypeError."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return TemplateFailed(str(error))
    return text


def _read_frame(child: "subprocess.Popen[bytes]", stalled_seconds: float) -> bytes:
    """The next frame. Errors: `EOFError` when the child ended, `TimeoutError` when it stalled."""
    assert child.stdout is not None
    worked, since = _measure_cpu_seconds(child.pid), time.monotonic()
    pieces: list[bytes] = []
    needed, size = 8, 0
    while size < needed:
        if not select.select([child.stdout], [], [], min(POLL_SECONDS, stalled_seconds))[0]:
            # Measure processor time, not wall time: on a busy machine a sound child is only slow.
            now = _measure_cpu_seconds(child.pid)
            if now > worked:
                worked, since = now, time.monotonic()
            elif time.monotonic() - since >= stalled_seconds:
                raise TimeoutError
            continue
        piece = os.read(child.stdout.fileno(), 2**20)
        if not piece:
            raise EOFError
        pieces.append(piece)
        size += len(piece)
        if needed == 8 <= size:
            pieces = [b"".join(pieces)]
            needed += int.from_bytes(pieces[0][:8], "big")
    return b"".join(pieces)[8:]


def _measure_cpu_seconds(process: int) -> float:
    """CPU seconds used so far; infinite once the process has ended, so that its end is read."""
    try:
        times = psutil.Process(process).cpu_times()
    except psutil.Error:
        return math.inf
    return float(times.user + times.system)


def _explain_failure(child: "subprocess.Popen[bytes]", error: Exception) -> str:
    """Why there is no text although the template hit no limit of its own."""
    if isinstance(error, TimeoutError):
        return "the rendering process got no processor time; the machine is overloaded"
    return f"the rendering process exited with code {child.wait()}"


def _write_frame(child: "subprocess.Popen[bytes]", frame: bytes) -> None:
    assert child.stdin is not None
    child.stdin.write(len(frame).to_bytes(8, "big") + frame)
    child.stdin.flush()


def _kill_child(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
