"""Work in a child process: what may hang, crash, eat memory or be hostile happens there, and ends there.

A child is a Python interpreter of its own (`-I`: no variables, no user folder), with an environment that holds no
secrets, in an empty folder that is removed afterwards, under limits on memory, processor time and written bytes, as the
leader of its own process group. It gets all pieces at once in a file and gives one line for each; the parent only
reads, so neither can block the other. A piece that takes too long, or takes the process down, fails alone: the next
child goes on behind it.

This holds back accidents. It is no jail: the child runs with the user's rights, unless its work gives
them up (`in_child/confine.py`).
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
"""For the interpreter and what the work imports, on a busy machine."""
QUOTA_CHECK_INTERVAL_SECONDS = 0.2
"""Between two measurements of the files that a child holds."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Of one child. `task_timeout_seconds` is wall time for one piece, `total_timeout_seconds` for all of them
    together."""

    task_timeout_seconds: float = 10.0
    total_timeout_seconds: float = 900.0
    memory_bytes: int = 4 * 2**30
    file_bytes: int = 64 * 2**20  # of one file
    folder_bytes: int = 256 * 2**20  # of all files that one piece leaves at any moment
    folder_files: int = 10_000
    output_bytes: int = 2**20  # of what one piece gives


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A piece that gave nothing: why, in words. `is_not_started`: its turn never came, as the time for all was over."""

    reason: str
    is_not_started: bool = False


class WorkerSetupError(Exception):
    """The work could not even be opened; the text says why."""


def run_in_sandbox(
    worker: str, setup: Any, tasks: Sequence[Any], limits: SandboxLimits, *, is_fresh: bool = False
) -> list[Any | TaskFailure]:
    """Each piece done by `in_child/WORK.py`, in order; `is_fresh` gives each a process of its own.

    With no pieces the work is opened only. Errors: `WorkerSetupError`.
    """
    ends = time.monotonic() + limits.total_timeout_seconds
    results: list[Any | TaskFailure] = []
    with make_private_folder("tunesmith-child") as folder:
        while True:
            behind = len(results)
            left = list(tasks[behind : behind + 1] if is_fresh else tasks[behind:])
            order = {"work": worker, "setup": setup, "pieces": left, "token": secrets.token_hex(16)}
            results += _run_worker(folder, order, limits, ends)
            if len(results) >= len(tasks):
                return results
            if time.monotonic() >= ends:
                late = TaskFailure(
                    f"the {limits.total_timeout_seconds:g} seconds for all answers were over", is_not_started=True
                )
                return [*results, *[late] * (len(tasks) - len(results))]


def _run_worker(folder: Path, order: dict[str, Any], limits: SandboxLimits, deadline: float) -> list[Any | TaskFailure]:
    """What one child did, up to the piece that ended it."""
    wanted = len(order["pieces"])
    results: list[Any | TaskFailure] = []
    with _WorkerProcess(folder, order, limits) as child:
        opened = child.read_message(time.monotonic() + STARTUP_TIMEOUT_SECONDS)
        if isinstance(opened, TaskFailure) or "broken" in opened:
            raise WorkerSetupError(opened.reason if isinstance(opened, TaskFailure) else opened["broken"])
        while len(results) < wanted:
            told = child.read_message(min(time.monotonic() + limits.task_timeout_seconds, deadline))
            if isinstance(told, TaskFailure) and time.monotonic() >= deadline:
                return results
            if isinstance(told, TaskFailure):
                return [*results, told]
            over = child.check_disk_quota()
            if over is not None:
                return [*results, over]
            results.append(told["done"] if "done" in told else TaskFailure(told["failed"]))
    return results


class _WorkerProcess:
    """A running child; leaving the block ends it and every process that it began."""

    def __init__(self, folder: Path, order: dict[str, Any], limits: SandboxLimits) -> None:
        self._limits, self._buffer, self._token = limits, b"", order["token"]
        place = self._folder = Path(tempfile.mkdtemp(dir=folder))
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
            start_new_session=True,
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
        shutil.rmtree(self._folder, ignore_errors=True)  # now: the next child needs the room

    def read_message(self, deadline: float) -> dict[str, Any] | TaskFailure:
        """The next line that the child gives, or why there is none."""
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
                return TaskFailure(f"what it gave is longer than {self._limits.output_bytes // 2**20} MiB")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or told.pop("token", None) != self._token or len(told) != 1:
            return TaskFailure("what it gave is not readable")
        return told

    def check_disk_quota(self) -> TaskFailure | None:
        """Whether its folder is over the quota, in bytes or in files. Files that vanish meanwhile are none."""
        limits, size, files = self._limits, 0, 0
        for parent, _, names in os.walk(self._folder):
            files += len(names) + 1
            for name in names:
                with suppress(OSError):
                    size += os.lstat(os.path.join(parent, name)).st_size
            if size > limits.folder_bytes or files > limits.folder_files:
                mebibytes = limits.folder_bytes // 2**20
                return TaskFailure(
                    f"its files took more than {mebibytes} MiB or were more than {limits.folder_files:,}"
                )
        return None

    def _describe_exit(self) -> str:
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "it closed the way that results come"
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
        return f"signal {-code}"


def _build_environment(place: Path) -> dict[str, str]:
    """Nothing of ours but where programs are; numerical libraries get one thread, as more would count as memory."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(place), "TMPDIR": str(place), **threads}
