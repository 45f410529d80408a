"""What the peer is fastest with: precision first, then how many examples at once, then packing.

TRL's candidates: weights and products in float32, in bf16, float32 weights with bf16 products
(autocast), or bf16 weights under autocast (float32 alone where the machine has no bfloat16
products); micro-batches by halves and doubles until that is slower; a step's examples packed into
rows, `pack` to a row. On CUDA always with Liger kernels, which a CPU cannot run. Not tried:
padding-free batches without packing and other attention than torch's own, which need
FlashAttention; activation checkpointing and offloading, which only cost time. Every measured
candidate is kept.

Candidates are judged by the clock, as whoever waits would: search on a machine that does nothing
else.
"""

from collections.abc import Iterable
from dataclasses import replace

from benchmarks.jobs import (
    Bench,
    ChildFailed,
    answering_job,
    has_bf16,
    has_gpu,
    run_peer,
    training_job,
)
from benchmarks.settings import Settings, keep_best
from benchmarks.workloads import (
    Answering,
    Training,
    question_tokens,
    training_arrays,
    write_prompts,
)

PRECISIONS = ("float32", "bf16", "autocast", "bf16-autocast")
WITHOUT_BF16 = ("float32",)  # emulated bfloat16 products run at an eighth of the rate
COUNTED_STEPS, QUESTIONS = 1, 64


class Search:
    """Measures candidates of one workload; remembers all of them."""

    def __init__(self, bench: Bench, job: Settings, examples: int) -> None:
        self.bench, self.job, self.examples = bench, job, examples
        self.clock = "seconds"
        self.candidates: list[Settings] = []
        self.speeds: list[float] = []
        self.peaks: list[int] = []

    @property
    def best(self) -> Settings:
        return self.candidates[self.speeds.index(max(self.speeds))]

    def best_of(self, candidates: Iterable[Settings]) -> Settings:
        """Measure those not measured yet; the fastest of all so far."""
        for settings in candidates:
            if settings not in self.candidates:
                self._measure(settings)
        return self.best

    def climb(self, key: str, sizes: list[int]) -> None:
        """From the best so far to larger sizes while they are faster, and to smaller ones."""
        at = sizes.index(self.best[key])
        for way in (sizes[at + 1 :], sizes[:at][::-1]):
            for size in way:
                candidate = {**self.best, key: size}
                if self.best_of([candidate]) != candidate:
                    break

    def keep(self, workload: str) -> Settings:
        """Write down the best and all others."""
        return keep_best(
            workload, self.candidates, self.speeds, self.peaks, self.clock, has_bf16=has_bf16()
        )

    def _measure(self, settings: Settings) -> None:
        speed, peak = 0.0, 0
        try:
            report = run_peer(self.bench.peer_python, {**self.job, **settings})
            speed, peak = speed_of(report, self.examples, self.clock), report["peak_memory_bytes"]
        except ChildFailed as failed:
            print(f"    failed: {str(failed)[-300:]}")
        print(
            f"    {speed:8.3f} examples a {self.clock[:-1]}  {peak >> 20:6,} MiB  {settings}",
            flush=True,
        )
        self.candidates.append(settings)
        self.speeds.append(speed)
        self.peaks.append(peak)


def speed_of(report: Settings, examples: int, clock: str = "seconds") -> float:
    """Examples per second. Training: without the warm-up step, with the counted steps' part of the
    reference's cost."""
    if "answers" in report:
        return examples / float(report[clock])
    counted: list[float] = report[clock][1:]
    reference: float = report[f"reference_{clock}"] * len(counted) / len(report[clock])
    return examples * len(counted) / (sum(counted) + reference)


def search_training(workload: Training, bench: Bench) -> Settings:
    size = workload.search_batch_size
    smaller = replace(workload, batch_size=size, steps=COUNTED_STEPS)
    data = bench.folder / f"{workload.name}-search.npz"
    training_arrays(smaller, bench.data, bench.tokenizer).write(data)
    search = Search(bench, training_job(smaller, data, bench.model) | {"adapter": None}, size)
    plain: Settings = {
        "micro_batch": size // 4,
        "pack": 0,
        "reference_first": False,
        "liger": has_gpu(),
    }
    search.best_of(
        {"precision": precision, **plain}
        for precision in (PRECISIONS if has_bf16() else WITHOUT_BF16)
    )
    sizes = [2**power for power in range(size.bit_length())]
    search.climb("micro_batch", sizes)
    if workload.method == "dpo":
        search.best_of([{**search.best, "reference_first": True}])
    else:
        alike = search.best["micro_batch"]
        near = {alike, max(1, alike // 2), min(size, alike * 2)}
        search.best_of(
            [{**search.best, "micro_batch": 1, "pack": examples} for examples in sorted(near)]
        )
    return search.keep(workload.name)


def search_answering(workload: Answering, bench: Bench) -> Settings:
    data = bench.folder / f"{workload.name}-search.json"
    prompts = question_tokens(workload, bench.data, bench.tokenizer)[:QUESTIONS]
    write_prompts(prompts, data)
    search = Search(
        bench, answering_job(workload, data, bench.model, bench.tokenizer.stop_ids), len(prompts)
    )
    precisions = ("float32", "bf16") if has_bf16() else WITHOUT_BF16
    search.best_of({"precision": precision, "batch_size": 16} for precision in precisions)
    search.climb("batch_size", [1, 2, 4, 8, 16, 32, QUESTIONS])
    return search.keep(workload.name)


def search(workload: Training | Answering, bench: Bench) -> Settings:
    """Find and keep the peer's best setting for this workload."""
    print(f"{workload.name}: searching the peer's best setting", flush=True)
    return (
        search_training(workload, bench)
        if isinstance(workload, Training)
        else search_answering(workload, bench)
    )
