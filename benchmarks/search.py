"""What the peer is fastest with: precision first, then how many examples at once, then packing (a few steps each).

TRL's candidates: weights and products in float32, in bf16, float32 weights with bf16 products (autocast), or bf16
weights under autocast; micro-batches by halves; packing into rows of a step's examples. Not tried because they cannot
run on a CPU: padding-free batches without packing and Liger kernels; nor activation checkpointing and offloading, which
only cost time. Every measured candidate is kept.
"""

from collections.abc import Iterable
from dataclasses import replace

from benchmarks.jobs import Bench, ChildFailed, answering_job, has_gpu, run_peer, training_job
from benchmarks.settings import Settings, keep_best
from benchmarks.workloads import Answering, Training, question_tokens, training_arrays, write_prompts

PRECISIONS = ("float32", "bf16", "autocast", "bf16-autocast")
COUNTED_STEPS = 2


class Search:
    """Measures candidates of one workload; remembers all of them."""

    def __init__(self, bench: Bench, job: Settings, examples: int) -> None:
        self.bench, self.job, self.examples = bench, job, examples
        self.candidates: list[Settings] = []
        self.speeds: list[float] = []
        self.peaks: list[int] = []

    def best_of(self, candidates: Iterable[Settings]) -> Settings:
        """Measure those not measured yet; the fastest of all so far."""
        for settings in candidates:
            if settings not in self.candidates:
                self._measure(settings)
        return self.candidates[self.speeds.index(max(self.speeds))]

    def _measure(self, settings: Settings) -> None:
        speed, peak = 0.0, 0
        try:
            report = run_peer(self.bench.peer_python, {**self.job, **settings})
            speed, peak = speed_of(report, self.examples), report["peak_memory_bytes"]
        except ChildFailed as failed:
            print(f"    failed: {str(failed)[-300:]}")
        print(f"    {speed:8.3f} examples/s  {peak >> 20:6,} MiB  {settings}", flush=True)
        self.candidates.append(settings)
        self.speeds.append(speed)
        self.peaks.append(peak)


def speed_of(report: Settings, examples: int) -> float:
    """Examples per second. Training: without the warm-up step, with the counted steps' part of the reference's cost."""
    if "answers" in report:
        return examples / float(report["seconds"])
    counted = report["seconds"][1:]
    reference = report["reference_seconds"] * len(counted) / len(report["seconds"])
    return examples * len(counted) / (sum(counted) + float(reference))


def search_training(workload: Training, bench: Bench) -> Settings:
    smaller = replace(workload, batch_size=workload.search_batch_size or workload.batch_size, steps=COUNTED_STEPS)
    arrays = training_arrays(smaller, bench.data, bench.tokenizer)
    data = bench.folder / f"{workload.name}-search.npz"
    arrays.write(data)
    job = training_job(smaller, data, bench.model) | {"adapter": None}
    search = Search(bench, job, smaller.batch_size)
    middle = max(1, smaller.batch_size // 4)
    plain: Settings = {"micro_batch": middle, "pack_pieces": 0, "reference_first": False, "liger": has_gpu()}
    best = search.best_of({"precision": precision, **plain} for precision in PRECISIONS)
    sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= smaller.batch_size]
    for size in sizes:
        best = search.best_of([{**best, "micro_batch": size}])
    if workload.method == "dpo":
        search.best_of([{**best, "reference_first": True}])
    else:
        search.best_of({**best, "micro_batch": 1, "pack_pieces": pieces} for pieces in sizes[:-1])
    return keep_best(workload.name, search.candidates, search.speeds, search.peaks)


def search_answering(workload: Answering, bench: Bench) -> Settings:
    data = bench.folder / f"{workload.name}-search.json"
    prompts = question_tokens(workload, bench.data, bench.tokenizer)
    write_prompts(prompts, data)
    search = Search(bench, answering_job(workload, data, bench.model, bench.tokenizer.stop_ids), len(prompts))
    best = search.best_of({"precision": precision, "batch_size": 32} for precision in ("float32", "bf16"))
    for size in (8, 16, 64, 128, 200):
        best = search.best_of([{**best, "batch_size": size}])
    return keep_best(workload.name, search.candidates, search.speeds, search.peaks)


def search(workload: Training | Answering, bench: Bench) -> Settings:
    """Find and keep the peer's best setting for this workload."""
    print(f"{workload.name}: searching the peer's best setting", flush=True)
    return search_training(workload, bench) if isinstance(workload, Training) else search_answering(workload, bench)
