"""Render a stranger's chat templates in one child process that lives as long as their tokenizer.

Every rendering has at most `seconds` of processor time and the process at most `most_bytes` of
address space; the kernel holds both, so no way of being slow or large gets around them. The child
has nothing of our environment and writes no file. What it is asked goes in batches, so that a
rendering costs hardly more than here (docs/decisions/096).

When a limit is met, the child ends, and no other rendering is tried.
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

from tunesmith.models.template import TemplateRefused

RENDERING_SECONDS = 2.0
MAX_BYTES = 512 * 2**20
STALLED_SECONDS = 120.0
"""How long to wait for a child that takes no processor time. One that does is never given up: the kernel ends it at
its own limit, which a busy machine cannot make shorter."""
LOOK_SECONDS = 5.0
BATCH = 128


class Conversation(NamedTuple):
    """One conversation and which of its beginnings are rendered: (how many messages, open answer)."""

    template: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    beginnings: Sequence[tuple[int, bool]]


class TemplateProcess:
    """Named templates and the child process that renders them; the child begins when it is needed."""

    def __init__(
        self,
        templates: Mapping[str, str],
        shared: Mapping[str, Any],
        seconds: float = RENDERING_SECONDS,
        most_bytes: int = MAX_BYTES,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        """`shared` are variables that every rendering sees, besides messages and tools."""
        self._templates = dict(templates)
        self._order = [seconds, most_bytes, self._templates, dict(shared)]
        self._stalled_seconds = stalled_seconds
        self._over = TemplateRefused(f"it needs more than {seconds:g} s or {most_bytes // 2**20} MiB", is_limit=True)
        self._is_over = False
        self._child: subprocess.Popen[bytes] | None = None
        self._end: Any = None
        self._lock = threading.Lock()

    def text_of(self, name: str) -> str:
        """The template of this name."""
        return str(self._templates[name])

    def render(self, conversations: Sequence[Conversation]) -> list[list[str | TemplateRefused]]:
        """For each conversation the text of each beginning, or why there is none.

        Errors: `TemplateRefused` with `is_limit` when a limit is met, and ever after.
        """
        with self._lock:
            answers: list[list[str | TemplateRefused]] = []
            for begin in range(0, len(conversations), BATCH):
                answers += self._render_batch(conversations[begin : begin + BATCH])
            return answers

    def _render_batch(self, batch: Sequence[Conversation]) -> list[list[str | TemplateRefused]]:
        if self._is_over:
            raise self._over
        try:
            frame = json.dumps(batch).encode()
        except RecursionError:
            return [[TemplateRefused("it is nested too deeply")] * len(one.beginnings) for one in batch]
        for attempt in (1, 2):  # a child that was ended from outside is begun again, once
            child = self._child or self._begin()
            try:
                _write_frame(child, frame)
                return _texts_of(_read_frame(child, self._stalled_seconds))
            except (OSError, EOFError, TimeoutError, ValueError, TemplateRefused) as error:
                self._stop()
                is_limit = isinstance(error, TemplateRefused) or child.wait() == -signal.SIGPROF
                if isinstance(error, TemplateRefused):
                    self._over = error
                elif not is_limit:
                    self._over = TemplateRefused(_why_none(child, error), is_limit=True)
                is_gone = isinstance(error, OSError | EOFError) and not isinstance(error, TimeoutError)
                if attempt == 2 or not is_gone or is_limit:
                    break
        self._is_over = True
        raise self._over

    def _begin(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "tunesmith.models.template"]
        environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._child = child
        self._end = weakref.finalize(self, _end, child)
        with suppress(OSError):  # it is gone already: reading its answer will tell
            _write_frame(child, json.dumps(self._order).encode())
        return child

    def _stop(self) -> None:
        self._child = None
        if self._end is not None:
            self._end()


def _texts_of(raw: bytes) -> list[list[str | TemplateRefused]]:
    has_surrogates = b"\\ud" in raw
    answers: list[list[str | TemplateRefused]] = []
    for items in json.loads(raw):
        first: str | None = None
        texts: list[str | TemplateRefused] = []
        for item in items:
            if isinstance(item, list):
                if item[1]:
                    raise TemplateRefused(item[0], is_limit=True)
                texts.append(TemplateRefused(item[0]))
                continue
            text = item if first is None or isinstance(item, str) else first[:item]
            first = text if first is None else first
            texts.append(_storable(text) if has_surrogates else text)
        answers.append(texts)
    return answers


def _storable(text: str) -> str | TemplateRefused:
    """Half a surrogate pair from a damaged file would end in the tokenizer as a TypeError."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return TemplateRefused(str(error))
    return text


def _read_frame(child: "subprocess.Popen[bytes]", stalled_seconds: float) -> bytes:
    """The next frame. Errors: `EOFError` when the child ended, `TimeoutError` when it has stopped working."""
    assert child.stdout is not None
    worked, since = _processor_seconds(child.pid), time.monotonic()
    pieces: list[bytes] = []
    needed, size = 8, 0
    while size < needed:
        if not select.select([child.stdout], [], [], min(LOOK_SECONDS, stalled_seconds))[0]:
            now = _processor_seconds(child.pid)
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


def _processor_seconds(process: int) -> float:
    """What it has taken so far; infinite once it has ended, so that its end is read instead."""
    try:
        times = psutil.Process(process).cpu_times()
    except psutil.Error:
        return math.inf
    return float(times.user + times.system)


def _why_none(child: "subprocess.Popen[bytes]", error: Exception) -> str:
    """Why there is no text although the template met no limit of its own."""
    if isinstance(error, TimeoutError):
        return "the process that renders it was given no processor time; the machine is too busy"
    return f"the process that renders it ended with exit code {child.wait()}"


def _write_frame(child: "subprocess.Popen[bytes]", frame: bytes) -> None:
    assert child.stdin is not None
    child.stdin.write(len(frame).to_bytes(8, "big") + frame)
    child.stdin.flush()


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
