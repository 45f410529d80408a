"""Resources used while a contender answers: seconds, tokens, peak memory, energy, waiting time.

Memory is that of the device if CUDA is in use, else of this process. A process has only one
high-water mark for its whole life, and resetting it (`/proc/self/clear_refs`) would falsify the
peak that training reports. So resident memory is sampled 20 times a second; if the mark itself
rose, the mark is the exact peak.

Waiting is the time in which threads of this process were runnable but queued for a core, as Linux
counts it per thread (`/proc/self/task/*/schedstat`: nanoseconds run, nanoseconds queued, slices).
It refers to the cores that this process may use, unlike a load average of the whole machine. On
other systems it is unknown.

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
    """A context manager that measures its block; the attributes are set when the block ends.

    `seconds` is wall time; `waiting_fraction` lies in [0, 1]. A value that the machine does not
    report is None.
    """

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
        self._initial_peak_bytes, self._max_rss_bytes = (
            _read_peak_rss_bytes(),
            self._process.memory_info().rss,
        )
        self._is_stopped = threading.Event()
        self._watcher = threading.Thread(target=self._sample_memory, name="meter", daemon=True)
        self._watcher.start()
        self._scheduler_stats = read_scheduler_stats()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._started
        self.waiting_fraction = compute_waiting_fraction(
            self._scheduler_stats, read_scheduler_stats()
        )
        self._is_stopped.set()
        self._watcher.join()
        mark = _read_peak_rss_bytes()
        cuda = _get_cuda()
        # A mark that did not rise belongs to an earlier, larger peak: then use the samples.
        held = (
            mark
            if mark > self._initial_peak_bytes
            else max(self._max_rss_bytes, self._process.memory_info().rss)
        )
        self.peak_memory_bytes = held if cuda is None else int(cuda.max_memory_allocated())
        self.energy_joules = self._counters.accumulate_joules()

    def _sample_memory(self) -> None:
        """Sample the memory, and occasionally the energy, until the block ends."""
        samples = 0
        while not self._is_stopped.wait(SAMPLING_INTERVAL_SECONDS):
            self._max_rss_bytes = max(self._max_rss_bytes, self._process.memory_info().rss)
            samples += 1
            if (
                samples % 1200 == 0
            ):  # once a minute: no energy counter wraps around twice in between
                self._counters.accumulate_joules()

    def build_usage(self, answers: Sequence[Answer], latency_seconds: float | None = None) -> Usage:
        """The measurements, with the tokens of these answers."""
        return Usage(
            requests=len(answers),
            tokens_in=sum(answer.tokens_in for answer in answers),
            tokens_out=sum(answer.tokens_out for answer in answers),
            seconds=self.seconds,
            latency_seconds=latency_seconds,
            peak_memory_bytes=self.peak_memory_bytes,
            energy_joules=self.energy_joules,
            waiting_fraction=self.waiting_fraction,
        )


def read_scheduler_stats(tasks: Path = Path("/proc/self/task")) -> dict[str, tuple[int, int]]:
    """(nanoseconds run, nanoseconds queued for a core) of each thread of this process; empty if the
    system does not count them."""
    stats = {}
    for file in tasks.glob("*/schedstat"):
        with suppress(OSError, ValueError):  # the thread has ended, or the kernel does not count
            run, waited, _ = map(int, file.read_text().split())
            stats[file.parent.name] = (run, waited)
    return stats


def compute_waiting_fraction(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> float | None:
    """Time queued as a fraction of all runnable time, in [0, 1]; None if nothing was counted."""
    run = waited = 0
    for thread, (ran, stood) in after.items():
        ran_before, stood_before = before.get(thread, (0, 0))
        run, waited = run + ran - ran_before, waited + stood - stood_before
    return waited / (run + waited) if run > 0 else None


@dataclass(frozen=True, slots=True)
class SingleRequestLatency:
    """The median latency in seconds of single requests (None if none was answered), and the usage
    of measuring it."""

    seconds: float | None
    usage: Usage

    def add_to_usage(self, usage: Usage) -> Usage:
        """The usage with this measurement added: its requests are paid for like all others."""
        return usage.replace(
            latency_seconds=self.seconds,
            requests=usage.requests + self.usage.requests,
            tokens_in=usage.tokens_in + self.usage.tokens_in,
            tokens_out=usage.tokens_out + self.usage.tokens_out,
            seconds=usage.seconds + self.usage.seconds,
        )


class _StopRequested(Exception):
    """A stop was requested while a request was in progress."""


def measure_latency(
    completer: Completer,
    prompts: Sequence[Prompt],
    limit: int = 8,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SingleRequestLatency:
    """The latency of single requests, over at most `limit` of these prompts, evenly spaced.

    Pass validation prompts: the test set is used only once. Failed requests are ignored, as they
    say nothing about the time to an answer. The first request may compile or connect; the median
    tolerates it. Returns early, with the results so far, when `stop` is true, also when the stop
    arrives as a `KeyboardInterrupt`.
    """
    count = min(limit, len(prompts))
    waits: list[float] = []
    asked: list[Completion] = []
    first = time.perf_counter()

    def report_progress(ready: int, total: int) -> None:
        if stop():
            raise _StopRequested
        if progress is not None:
            progress(min(len(asked) + ready, count), count)

    try:
        for i in range(count):
            began = time.perf_counter()
            (completion,) = completer.complete(
                [prompts[i * len(prompts) // count]], report_progress
            )
            asked.append(completion)
            if completion.error is None:
                waits.append(time.perf_counter() - began)
    except (_StopRequested, KeyboardInterrupt):
        if not stop():  # a Ctrl-C that did not come from our own stop request
            raise
    tokens_in, tokens_out = (
        sum(one.tokens_in for one in asked),
        sum(one.tokens_out for one in asked),
    )
    took = time.perf_counter() - first
    usage = Usage(requests=len(asked), tokens_in=tokens_in, tokens_out=tokens_out, seconds=took)
    return SingleRequestLatency(median(waits) if waits else None, usage)


def _get_cuda() -> Any:
    """`torch.cuda` if this process already uses it. Looked up, not imported: this package must not
    load torch."""
    torch: Any = sys.modules.get("torch")
    is_in_use = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch.cuda if is_in_use and torch.cuda.max_memory_allocated() else None


def _read_peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes, but bytes on macOS
