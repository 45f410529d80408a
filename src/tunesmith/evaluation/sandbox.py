"""Work in a child process: what may hang, crash, exhaust memory or be hostile stays confined to it.

A child is a separate Python interpreter (`-I`: no environment variables, no user site), with an
environment without secrets, in an empty folder that is removed afterwards, under limits on memory,
CPU time and bytes written, as the leader of its own process group. It gets all tasks at once in a
file and writes one line for each; the parent only reads, so neither can block the other. A task
that takes too long, or kills the process, fails alone: the next child continues after it.

This protects against accidents. It is no security boundary: the child runs with the user's rights,
unless its work gives them up (`sandbox_worker/confinement.py`).
"""

import json
import math
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.temporary_files import make_private_folder

STARTUP_TIMEOUT_SECONDS = 60.0
"""For starting the interpreter and the work's imports, on a busy machine."""
QUOTA_CHECK_INTERVAL_SECONDS = 0.2
"""Time between two measurements of the files that a child has written."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits of one child. `task_timeout_seconds` is wall time for one task,
    `total_timeout_seconds` for all tasks together."""

    task_timeout_seconds: float = 10.0
    total_timeout_seconds: float = 900.0
    memory_bytes: int = 4 * 2**30
    file_bytes: int = 64 * 2**20  # per file
    folder_bytes: int = 256 * 2**20  # all files at any moment
    folder_files: int = 10_000
    output_bytes: int = 2**20  # the result of one task


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A task without a result: the reason in words. `is_not_started`: the total time was used up
    before its turn."""

    reason: str
    is_not_started: bool = False


class WorkerSetupError(Exception):
    """The work could not be set up; the message says why."""


def run_in_sandbox(
    worker: str, setup: Any, tasks: Sequence[Any], limits: SandboxLimits, *, is_fresh: bool = False
) -> list[Any | TaskFailure]:
    """The result of each task, computed by `sandbox_worker/WORKER.py`, in order; `is_fresh` gives
    each task its own process.

    Without tasks, only the setup is tried. Errors: `WorkerSetupError`.
    """
    ends = time.monotonic() + limits.total_timeout_seconds
    results: list[Any | TaskFailure] = []
    with make_private_folder("tunesmith-child") as folder:
        while True:
            behind = len(results)
            left = list(tasks[behind : behind + 1] if is_fresh else tasks[behind:])
            # The token is new for each child, so an earlier child's output cannot be replayed.
            order = {"work": worker, "setup": setup, "pieces": left, "token": secrets.token_hex(16)}
            results += _run_worker(folder, order, limits, ends)
            if len(results) >= len(tasks):
                return results
            if time.monotonic() >= ends:
                late = TaskFailure(
                    (
                        f"the time limit of {limits.total_timeout_seconds:g} seconds for all "
                        "answers was reached"
                    ),
                    is_not_started=True,
                )
                return [*results, *[late] * (len(tasks) - len(results))]


def _run_worker(
    folder: Path, order: dict[str, Any], limits: SandboxLimits, deadline: float
) -> list[Any | TaskFailure]:
    """One child's results, up to and including the task that ended it."""
    total = len(order["pieces"])
    results: list[Any | TaskFailure] = []
    with _WorkerProcess(folder, order, limits) as child:
        opened = child.read_message(time.monotonic() + STARTUP_TIMEOUT_SECONDS)
        if isinstance(opened, TaskFailure) or "broken" in opened:
            raise WorkerSetupError(
                opened.reason if isinstance(opened, TaskFailure) else opened["broken"]
            )
        while len(results) < total:
            message = child.read_message(
                min(time.monotonic() + limits.task_timeout_seconds, deadline)
            )
            # Out of total time: the caller reports this task as not started, not as too slow.
            if isinstance(message, TaskFailure) and time.monotonic() >= deadline:
                return results
            if isinstance(message, TaskFailure):
                return [*results, message]
            over = child.check_disk_quota()
            if over is not None:
                return [*results, over]
            results.append(message["done"] if "done" in message else TaskFailure(message["failed"]))
    return results


class _WorkerProcess:
    """A running child; leaving the block kills it and every process that it started."""

    def __init__(self, folder: Path, order: dict[str, Any], limits: SandboxLimits) -> None:
        self._limits, self._buffer, self._token = limits, b"", order["token"]
        place = self._folder = Path(tempfile.mkdtemp(dir=folder))
        # Limits for the child to set on itself before it loads any untrusted code.
        most = {
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": math.ceil(min(limits.total_timeout_seconds, 86_400)) + 1,
            "file_bytes": limits.file_bytes,
        }
        paper = folder / "order.json"
        paper.write_text(json.dumps({**order, "limits": most}), encoding="utf-8")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-B",
                "-X",
                "utf8",
                "-m",
                "tunesmith.evaluation.sandbox_worker.worker_main",
                str(paper),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=place,
            env=_build_environment(place),
            start_new_session=True,  # its own process group, which `__exit__` kills as a whole
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()

    def __enter__(self) -> "_WorkerProcess":
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # now: the next child needs the disk space

    def read_message(self, deadline: float) -> dict[str, Any] | TaskFailure:
        """The child's next line, or why there is none."""
        began = time.monotonic()
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                return TaskFailure(f"it took longer than {max(deadline - began, 0):.3g} seconds")
            if not select.select([self._pipe], [], [], min(left, QUOTA_CHECK_INTERVAL_SECONDS))[0]:
                over = self.check_disk_quota()
                if over is not None:
                    return over
                continue
            got = os.read(self._pipe, 2**16)
            if not got:
                return TaskFailure(f"its process ended: {self._describe_exit()}")
            self._buffer += got
            if len(self._buffer) > self._limits.output_bytes:
                return TaskFailure(
                    f"its output is larger than {self._limits.output_bytes // 2**20} MiB"
                )
        line, _, self._buffer = self._buffer.partition(b"\n")
        # The child's own code knows the token; a line without it comes from the code it runs.
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if (
            not isinstance(message, dict)
            or message.pop("token", None) != self._token
            or len(message) != 1
        ):
            return TaskFailure("its output is not readable")
        return message

    def check_disk_quota(self) -> TaskFailure | None:
        """A failure if the child's folder exceeds its quota, in bytes or in files; else None. Files
        that vanish during the measurement do not count."""
        limits, size, files = self._limits, 0, 0
        for parent, _, names in os.walk(self._folder):
            files += len(names) + 1
            for name in names:
                with suppress(OSError):
                    size += os.lstat(os.path.join(parent, name)).st_size
            if size > limits.folder_bytes or files > limits.folder_files:
                mebibytes = limits.folder_bytes // 2**20
                return TaskFailure(
                    f"its files took more than {mebibytes} MiB or were more than"
                    f" {limits.folder_files:,}"
                )
        return None

    def _describe_exit(self) -> str:
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "it closed the pipe for results"
        if code >= 0:  # `Popen` reports death by a signal as its negated number
            return f"exit code {code}"
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
        return f"signal {-code}"


def _build_environment(place: Path) -> dict[str, str]:
    """A minimal environment without any of the user's variables. Numerical libraries get one
    thread, because each thread's stack counts against the memory limit."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(place),
        "TMPDIR": str(place),
        **threads,
    }
