"""What asking takes: seconds, memory, energy from counters that begin again, the wait of single
requests."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tunesmith.evaluation.energy import EnergyCounters
from tunesmith.evaluation.usage_meter import SAMPLING_INTERVAL_SECONDS, UsageMeter, measure_latency
from tunesmith.records import Answer, Completion, Message, ProgressCallback, Prompt, Usage

MEGABYTE = 2**20


class Clock:
    """Stands in for the module `time` of the meter: it moves by sleeps alone."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tunesmith.evaluation.usage_meter.time", clock)
    return clock


class Sleeper:
    """Waits as long as the prompt says; a prompt that says "no" fails at once."""

    def __init__(self, clock: Clock) -> None:
        self.asked: list[str] = []
        self.clock = clock

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        (prompt,) = prompts
        text = prompt[-1].content
        self.asked.append(text)
        if text == "no":
            return [Completion("", 0, 0, 0.0, error="refused")]
        self.clock.sleep(float(text))
        return [Completion(text, 1, 1, 0.0)]


def prompt(text: object) -> Prompt:
    return (Message("user", str(text)),)


def test_seconds_and_tokens_are_counted(clock: Clock) -> None:
    with UsageMeter() as meter:
        clock.sleep(0.02)
    answers = [
        Answer(
            example="a",
            text="",
            scores={},
            tokens_in=3,
            tokens_out=5,
            seconds=0.01,
            is_complete=True,
        )
    ] * 2
    usage = meter.build_usage(answers, latency_seconds=0.5)
    assert (usage.requests, usage.tokens_in, usage.tokens_out, usage.latency_seconds) == (
        2,
        6,
        10,
        0.5,
    )
    assert usage.seconds == pytest.approx(0.02)


def test_a_peak_that_is_gone_at_the_end_was_seen() -> None:
    with UsageMeter() as before:
        wait_until_sampled(before)
    with UsageMeter() as meter:
        held = np.ones(200 * MEGABYTE // 8)
        wait_until_sampled(meter)
        del held
    assert before.peak_memory_bytes is not None and meter.peak_memory_bytes is not None
    grown = meter.peak_memory_bytes - before.peak_memory_bytes
    assert grown == pytest.approx(200 * MEGABYTE, rel=0.25)


def wait_until_sampled(meter: UsageMeter) -> None:
    """Return once the meter's thread has read the memory after this call began."""
    meter._max_rss_bytes = 0
    while not meter._max_rss_bytes:
        time.sleep(SAMPLING_INTERVAL_SECONDS / 10)


def test_the_watch_ends_with_an_error_too() -> None:
    meter = UsageMeter()
    with pytest.raises(RuntimeError), meter:
        raise RuntimeError
    assert not meter._watcher.is_alive() and meter.seconds > 0


def test_energy_is_none_where_no_counter_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = EnergyCounters(tmp_path)
    counters._gpus._devices = []
    counters._last = {}
    monkeypatch.setattr("tunesmith.evaluation.usage_meter.EnergyCounters", lambda: counters)
    with UsageMeter() as meter:
        pass
    assert meter.energy_joules is None


def test_energy_counters_are_added_up_over_their_beginning_again(tmp_path: Path) -> None:
    def counter(name: str, joules: float) -> None:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "energy_uj").write_text(f"{joules * 1e6:.0f}\n")
        (folder / "max_energy_range_uj").write_text("100000000\n")

    counter("intel-rapl:0", 90)
    counter("intel-rapl:1", 10)
    counter("intel-rapl:0:0", 5)  # a part of 0: counted there
    counters = EnergyCounters(tmp_path)
    gpus = counters.accumulate_joules()
    counter("intel-rapl:0", 5)
    counter("intel-rapl:1", 30)
    counter("intel-rapl:0:0", 50)
    after = counters.accumulate_joules()
    assert gpus is not None and after is not None
    assert after - gpus == pytest.approx(15 + 20, abs=1)


def test_energy_that_is_not_ours_to_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    counters = EnergyCounters(tmp_path)
    counters._gpus._devices = []
    counters._last = {}
    assert counters.accumulate_joules() is None


class FakeNvml:
    """The driver's library with two devices, of which the second does not tell."""

    def __init__(self) -> None:
        self.millijoules = 1000

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, device: Any) -> int:
        device._obj.value = index + 1
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device: Any, millijoules: Any) -> int:
        millijoules._obj.value = self.millijoules
        return 3 if device.value == 2 else 0  # NVML_ERROR_NOT_SUPPORTED


def test_a_gpu_tells_what_it_used_and_one_that_cannot_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = FakeNvml()
    monkeypatch.setattr("ctypes.CDLL", lambda name: nvml)
    counters = EnergyCounters(tmp_path)
    nvml.millijoules += 2500
    assert counters.accumulate_joules() == pytest.approx(2.5)


def test_on_cuda_the_peak_is_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for torch: nothing here imports the real one."""
    peaks = [700]
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        max_memory_allocated=lambda: peaks[-1],
        reset_peak_memory_stats=lambda: peaks.append(300),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with UsageMeter() as meter:
        peaks.append(500)
    assert meter.peak_memory_bytes == 500


def test_the_wait_is_the_median_of_single_requests_spread_over_the_prompts(clock: Clock) -> None:
    sleeper = Sleeper(clock)
    waits = [0.2, 0, 0.01, 0, 0.01, 0, 0.01, 0]
    alone = measure_latency(sleeper, [prompt(wait) for wait in waits], limit=4)
    assert sleeper.asked == ["0.2", "0.01", "0.01", "0.01"]
    assert alone.seconds == pytest.approx(0.01)


def test_single_requests_are_used_and_paid_for_like_the_others(clock: Clock) -> None:
    alone = measure_latency(Sleeper(clock), [prompt(0.02), prompt("no"), prompt(0.04)])
    asked = Usage(requests=10, tokens_in=100, tokens_out=20, seconds=3.0, peak_memory_bytes=7)
    found = alone.add_to_usage(asked)
    assert (found.requests, found.tokens_in, found.tokens_out, found.peak_memory_bytes) == (
        13,
        102,
        22,
        7,
    )
    assert (found.seconds, found.latency_seconds) == (pytest.approx(3.06), pytest.approx(0.03))


def test_a_stop_ends_the_timing_with_what_it_has(clock: Clock) -> None:
    class Ticking(Sleeper):
        def complete(
            self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
        ) -> list[Completion]:
            assert progress is not None
            progress(0, 1)
            return super().complete(prompts, progress)

    told: list[tuple[int, int]] = []
    sleeper = Ticking(clock)
    alone = measure_latency(
        sleeper,
        [prompt(0.02)] * 5,
        progress=lambda *all: told.append(all),
        stop=lambda: len(sleeper.asked) == 2,
    )
    assert (alone.seconds, alone.usage.requests) == (pytest.approx(0.02), 2)
    assert told == [(0, 5), (1, 5)]


def test_a_stop_that_interrupts_the_timing_loses_nothing_and_any_other_interruption_is_raised(
    clock: Clock,
) -> None:
    class Interrupted(Sleeper):
        def complete(
            self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
        ) -> list[Completion]:
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().complete(prompts, progress)

    alone = measure_latency(Interrupted(clock), [prompt(0.02)] * 5, stop=lambda: True)
    assert (alone.seconds, alone.usage.requests) == (pytest.approx(0.02), 2)
    with pytest.raises(KeyboardInterrupt):
        measure_latency(Interrupted(clock), [prompt(0.02)] * 5)


def test_failed_requests_say_nothing_of_the_wait(clock: Clock) -> None:
    prompts = [prompt("no"), prompt(0.02), prompt("no")]
    assert measure_latency(Sleeper(clock), prompts).seconds == pytest.approx(0.02)
    assert measure_latency(Sleeper(clock), [prompt("no")]).seconds is None
    assert measure_latency(Sleeper(clock), []).seconds is None
