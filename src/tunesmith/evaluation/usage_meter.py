"""What asking a contender took, measured while it was asked: seconds, tokens, peak memory, energy, waiting.

Memory is that of the device where CUDA is in use, else of this process. The process has only one high-water mark for
its whole life, and setting it back (`/proc/self/clear_refs`) would falsify the peak that a training tells. So resident
memory is looked at 20 times a second; where the mark itself rose, the mark is the peak and exact.

Waiting is the time that threads of this process were ready to run and stood in the queue for a core, as Linux counts it
for each thread (`/proc/self/task/*/schedstat`: nanoseconds run, nanoseconds queued, slices). It counts the cores that
this process may use, which a load average of the whole machine does not. Elsewhere it is not known.
Source: https://docs.kernel.org/scheduler/sched-stats.html
"""

import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

import psutil

from tunesmith.evaluation.energy import EnergyCounters
from tunesmith.records import Answer, Completer, Completion, ProgressCallback, Prompt, Usage

SAMPLING_INTERVAL_SECONDS = 0.05


class UsageMeter:
    """A context manager around the asking; `seconds` is known when the block is left."""

    seconds = 0.0
    peak_memory_bytes: int | None = None
    energy_joules: float | None = None
    waiting_fraction: float | None = None

    def __enter__(self) -> Self:
        cuda = _get_cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        self._counters = EnergyCounters()
        self._process = psutil.Process()
        self._initial_peak_bytes, self._max_rss_bytes = _read_peak_rss_bytes(), self._process.memory_info().rss
        self._is_stopped = threading.Event()
        self._watcher = threading.Thread(target=self._sample_memory, name="meter", daemon=True)
        self._watcher.start()
        self._scheduler_stats = read_scheduler_stats()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self.waiting_fraction = compute_waiting_fraction(self._scheduler_stats, read_scheduler_stats())
        self._is_stopped.set()
        self._watcher.join()
        mark = _read_peak_rss_bytes()
        cuda = _get_cuda()
        held = mark if mark > self._initial_peak_bytes else max(self._max_rss_bytes, self._process.memory_info().rss)
        self.peak_memory_bytes = held if cuda is None else int(cuda.max_memory_allocated())
        self.energy_joules = self._counters.accumulate_joules()

    def _sample_memory(self) -> None:
        """Look at the memory, and once in a while at the energy, until the block is left."""
        looks = 0
        while not self._is_stopped.wait(SAMPLING_INTERVAL_SECONDS):
            self._max_rss_bytes = max(self._max_rss_bytes, self._process.memory_info().rss)
            looks += 1
            if looks % 1200 == 0:  # once a minute: no counter begins again twice in between
                self._counters.accumulate_joules()

    def build_usage(self, answers: Sequence[Answer], latency_seconds: float | None = None) -> Usage:
        """What was measured, with the tokens of these answers."""
        return Usage(
            requests=len(answers),
            tokens_in=sum(answer.tokens_in for answer in answers),
            tokens_out=sum(answer.tokens_out for answer in answers),
            seconds=self.seconds,
            latency_seconds=latency_seconds,
            peak_memory_bytes=self.peak_memory_bytes,
            energy_joules=self.energy_joules,
            waiting=self.waiting_fraction,
        )


def read_scheduler_stats(tasks: Path = Path("/proc/self/task")) -> dict[str, tuple[int, int]]:
    """Nanoseconds that each thread of this process ran, and that it waited for a core; empty where none are counted."""
    found = {}
    for file in tasks.glob("*/schedstat"):
        with suppress(OSError, ValueError):  # the thread ended meanwhile, or the kernel counts nothing
            run, waited, _ = map(int, file.read_text().split())
            found[file.parent.name] = (run, waited)
    return found


def compute_waiting_fraction(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> float | None:
    """Which share of the time that threads were ready to run they waited; None where nothing was counted."""
    run = waited = 0
    for thread, (ran, stood) in after.items():
        ran_before, stood_before = before.get(thread, (0, 0))
        run, waited = run + ran - ran_before, waited + stood - stood_before
    return waited / (run + waited) if run > 0 else None


@dataclass(frozen=True, slots=True)
class SingleRequestLatency:
    """The median wait for one request that is asked alone, None where none was answered; what finding it out took."""

    seconds: float | None
    usage: Usage

    def add_to_usage(self, usage: Usage) -> Usage:
        """What asking took, with this: the requests were made and are paid for like the others."""
        return usage.model_copy(
            update={
                "latency_seconds": self.seconds,
                "requests": usage.requests + self.usage.requests,
                "tokens_in": usage.tokens_in + self.usage.tokens_in,
                "tokens_out": usage.tokens_out + self.usage.tokens_out,
                "seconds": usage.seconds + self.usage.seconds,
            }
        )


class _StopRequested(Exception):
    """A stop was asked for while one request was under way."""


def measure_latency(
    completer: Completer,
    prompts: Sequence[Prompt],
    limit: int = 8,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SingleRequestLatency:
    """The wait for single requests, over at most `limit` of these prompts, spread over them all.

    Give validation prompts: the test set is looked at once. A request that failed says nothing of the wait for an
    answer. The first one may compile or connect: the median bears it. Ends with what it has when `stop` says so, also
    where that came as a `KeyboardInterrupt`.
    """
    count = min(limit, len(prompts))
    waits: list[float] = []
    asked: list[Completion] = []
    first = time.perf_counter()

    def report_progress(ready: int, wanted: int) -> None:
        if stop():
            raise _StopRequested
        if progress is not None:
            progress(min(len(asked) + ready, count), count)

    try:
        for i in range(count):
            began = time.perf_counter()
            (completion,) = completer.complete([prompts[i * len(prompts) // count]], report_progress)
            asked.append(completion)
            if completion.error is None:
                waits.append(time.perf_counter() - began)
    except (_StopRequested, KeyboardInterrupt):
        if not stop():
            raise
    tokens_in, tokens_out = sum(one.tokens_in for one in asked), sum(one.tokens_out for one in asked)
    took = time.perf_counter() - first
    usage = Usage(requests=len(asked), tokens_in=tokens_in, tokens_out=tokens_out, seconds=took)
    return SingleRequestLatency(median(waits) if waits else None, usage)


def _get_cuda() -> Any:
    """`torch.cuda` where somebody works with it already; this room imports no torch."""
    torch: Any = sys.modules.get("torch")
    is_in_use = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch.cuda if is_in_use and torch.cuda.max_memory_allocated() else None


def _read_peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere but on macOS
