"""One workload on both sides, in turn: examples per second, peak memory, and whether both did the
same."""

from collections.abc import Iterable
from dataclasses import replace

import psutil

from benchmarks.arrays import Arrays
from benchmarks.jobs import (
    Bench,
    ChildFailed,
    Job,
    Report,
    answering_job,
    has_bf16,
    run_ours,
    run_peer,
    training_job,
)
from benchmarks.results import Row, last_row, paired
from benchmarks.search import speed_of
from benchmarks.settings import best_settings, peaks_by_examples
from benchmarks.workloads import (
    Answering,
    Training,
    question_tokens,
    training_arrays,
    write_prompts,
)

TRL, TRANSFORMERS = "TRL + PEFT", "transformers.generate"
MOST_DIFFERENCE = {"loss_difference": 0.01, "loss_difference_float32": 1e-3}
FLOAT32_STEPS, FLOAT32_EXAMPLES = 2, 8
PEER_BASE_BYTES = 1 << 30  # imports and weights
MOST_MEMORY = 0.8


def compare(workload: Training | Answering, bench: Bench) -> list[Row]:
    return (
        compare_training(workload, bench)
        if isinstance(workload, Training)
        else compare_answering(workload, bench)
    )


def compare_training(workload: Training, bench: Bench) -> list[Row]:
    arrays = training_arrays(workload, bench.data, bench.tokenizer)
    count = len(arrays.sequences)
    print(
        f"  {arrays.tokens / count:.1f} tokens a sequence, {arrays.trained / count:.1f} of them"
        " trained"
    )
    sides = Sides(workload, arrays, bench)
    if bench.only_ours:
        reports = [sides.ours("auto") for _ in range(workload.repetitions)]
        return beside_last(workload.name, reports, workload.batch_size)
    settings = best_settings(workload.name, has_bf16=has_bf16())
    ours, peer = [], []
    for _ in range(workload.repetitions):
        ours.append(sides.ours("auto"))
        peer.append(sides.peer(settings))
    rows = [*speed_and_memory(workload.name, ours, peer, workload.batch_size, TRL)]
    rows.append(loss_row(workload.name, "loss_difference", ours[-1], peer[-1]))
    rows.append(compare_float32(workload, settings, bench))
    return [*rows, *whole_steps(workload, settings, ours, peer[-1], bench)]


def whole_steps(
    workload: Training, settings: Job, ours: list[Report], searched: Report, bench: Bench
) -> Iterable[Row]:
    """TRL told no more than the batch size: all examples of a step at once, padded or packed,
    whichever is faster.

    Nothing where memory would not hold them. Two steps, of which one counts, measured once.
    """
    if not _fits(workload, settings, searched):
        print("  whole steps at once do not fit into memory on TRL's side")
        return []
    short = replace(workload, steps=1, name=f"{workload.name}-whole")
    sides = Sides(short, training_arrays(short, bench.data, bench.tokenizer), bench)
    sides.peer_data = sides.own_data  # which examples come first does not matter here
    found: list[Report] = []
    for packed in [0] if workload.method == "dpo" else [0, workload.batch_size]:
        try:
            found.append(
                sides.peer(
                    {
                        **settings,
                        "micro_batch": 1 if packed else workload.batch_size,
                        "pack": packed,
                    }
                )
            )
        except ChildFailed as failed:
            print(f"  whole steps at once failed: {str(failed)[-200:]}")
    if not found:
        return []
    best = max(found, key=lambda report: speed_of(report, workload.batch_size))
    return speed_and_memory(
        workload.name, ours, [best] * len(ours), workload.batch_size, f"{TRL}, whole steps"
    )


def _fits(workload: Training, settings: Job, searched: Report) -> bool:
    """Whether the peer may hold a whole step, by what more examples at once took in the search."""
    peaks = peaks_by_examples(workload.name, has_bf16=has_bf16())
    if len(peaks) < 2:
        examples = settings["pack"] or settings["micro_batch"]
        peaks = {0: PEER_BASE_BYTES, examples: searched["peak_memory_bytes"]}
    few, many = min(peaks), max(peaks)
    each = (peaks[many] - peaks[few]) / (many - few)
    return (
        peaks[few] + (workload.batch_size - few) * each
        < MOST_MEMORY * psutil.virtual_memory().available
    )


class Sides:
    """The same examples, steps and initial weights for both sides."""

    def __init__(self, workload: Training, arrays: Arrays, bench: Bench) -> None:
        self.workload, self.arrays, self.bench = workload, arrays, bench
        self.own_data = bench.folder / f"{workload.name}.npz"
        self.peer_data = bench.folder / f"{workload.name}-in-order.npz"
        self.initial = bench.folder / f"{workload.name}-initial"
        arrays.write(self.own_data)

    def ours(self, precision: str) -> Report:
        """The first run leaves what the peer needs: the order of the examples and the initial
        adapter."""
        job = training_job(self.workload, self.own_data, self.bench.model) | {
            "precision": precision,
            "save_initial": None,
        }
        is_first = not self.peer_data.exists()
        if is_first and self.workload.kind != "full":
            job["save_initial"] = str(self.initial)
        report = self._checked(run_ours(job))
        if is_first:
            each = len(self.arrays.sequences) // len(report["order"])
            self.arrays.in_order(report["order"], each).write(self.peer_data)
        tell("tunesmith", report, self.workload.batch_size)
        return report

    def peer(self, settings: Job) -> Report:
        adapter = str(self.initial) if self.initial.exists() else None
        job = (
            training_job(self.workload, self.peer_data, self.bench.model)
            | settings
            | {"adapter": adapter}
        )
        report = self._checked(run_peer(self.bench.peer_python, job))
        tell(TRL, report, self.workload.batch_size)
        return report

    def _checked(self, report: Report) -> Report:
        if report["digest"] != self.arrays.digest():
            raise SystemExit(
                f"{self.workload.name}: a side trained other tokens or another mask; nothing is"
                " compared"
            )
        return report


def compare_float32(workload: Training, settings: Job, bench: Bench) -> Row:
    """Both sides in float32, a few steps: the losses must be the same."""
    short = replace(
        workload,
        batch_size=min(workload.batch_size, FLOAT32_EXAMPLES),
        steps=FLOAT32_STEPS,
        name=f"{workload.name}-float32",
    )
    sides = Sides(short, training_arrays(short, bench.data, bench.tokenizer), bench)
    micro_batch = min(settings["micro_batch"], short.batch_size)
    ours = sides.ours("float32")
    peer = sides.peer({**settings, "precision": "float32", "micro_batch": micro_batch, "pack": 0})
    return loss_row(workload.name, "loss_difference_float32", ours, peer)


def asked(workload: Answering, prompts: list[list[int]], bench: Bench) -> Job:
    """The job of answering these prompts, which are written down for it."""
    data = bench.folder / f"{workload.name}.json"
    write_prompts(prompts, data)
    return answering_job(workload, data, bench.model, bench.tokenizer.stop_ids)


def compare_answering(workload: Answering, bench: Bench) -> list[Row]:
    prompts = question_tokens(workload, bench.data, bench.tokenizer)
    print(f"  {sum(map(len, prompts)) / len(prompts):.1f} tokens a prompt")
    job = asked(workload, prompts, bench)
    settings = {} if bench.only_ours else best_settings(workload.name, has_bf16=has_bf16())
    ours, peer = [], []
    for _ in range(workload.repetitions):
        ours.append(run_ours(job | {"precision": "auto"}))
        tell("tunesmith", ours[-1], len(prompts))
        if not bench.only_ours:
            peer.append(run_peer(bench.peer_python, job | settings))
            tell(TRANSFORMERS, peer[-1], len(prompts))
    if bench.only_ours:
        return beside_last(workload.name, ours, len(prompts))
    rows = [*speed_and_memory(workload.name, ours, peer, len(prompts), TRANSFORMERS)]
    return [*rows, same_answers(workload, job, settings, bench, ours[-1], peer[-1])]


def same_answers(
    workload: Answering, job: Job, settings: Job, bench: Bench, ours: Report, peer: Report
) -> Row:
    """The share of answers that are the same tokens: of the measured runs (in bfloat16 near ties
    fall either way), and as the row's ratio in float32, where it must be 1."""
    measured = share_equal(ours, peer)
    exact = measured
    if has_bf16():
        ours32 = run_ours(job | {"precision": "float32"})
        peer32 = run_peer(bench.peer_python, job | settings | {"precision": "float32"})
        exact = share_equal(ours32, peer32)
    print(f"  same answers: {measured:.1%} as measured, {exact:.1%} in float32")
    return Row(workload.name, "same_answers_float32", exact, 1.0, TRANSFORMERS, exact, 1)


def share_equal(ours: Report, peer: Report) -> float:
    pairs = list(zip(ours["answers"], peer["answers"], strict=True))
    return sum(a == b for a, b in pairs) / len(pairs)


def speed_and_memory(
    name: str, ours: list[Report], peer: list[Report], examples: int, peer_name: str
) -> Iterable[Row]:
    own, other = ([speed_of(report, examples) for report in side] for side in (ours, peer))
    yield paired(name, "examples_per_second", own, other, peer_name)
    own, other = ([float(report["peak_memory_bytes"]) for report in side] for side in (ours, peer))
    yield paired(name, "peak_memory_bytes", own, other, peer_name)


def beside_last(name: str, ours: list[Report], examples: int) -> list[Row]:
    """Our side alone beside the peer's medians in `latest.json`: for whoever changes the engine."""
    values = {
        "examples_per_second": [speed_of(report, examples) for report in ours],
        "peak_memory_bytes": [float(report["peak_memory_bytes"]) for report in ours],
    }
    rows = []
    for measure, own in values.items():
        last = last_row(name, measure)
        rows.append(
            paired(
                name, measure, own, [last.peer or 1.0] * len(own), f"{last.peer_name}, last result"
            )
        )
    return rows


def loss_row(name: str, measure: str, ours: Report, peer: Report) -> Row:
    """Losses of the last step, and the largest relative difference over all steps."""
    for side, report in (("tunesmith", ours), (TRL, peer)):
        print(f"  losses {side:11}", " ".join(f"{loss:.4f}" for loss in report["losses"]))
    both = list(zip(ours["losses"], peer["losses"], strict=True))
    difference = max(abs(a - b) / abs(b) for a, b in both)
    if difference > MOST_DIFFERENCE[measure]:
        print(
            f"  WARNING {name}: {measure} is {difference:.2%}, more than"
            f" {MOST_DIFFERENCE[measure]:.1%}"
        )
    return Row(name, measure, both[-1][0], both[-1][1], TRL, difference, 1)


def tell(side: str, report: Report, examples: int) -> None:
    steps = ""
    if "answers" not in report:
        steps = "  steps " + " ".join(f"{second:.2f}" for second in report["seconds"]) + " s"
    by_cpu = 1 / speed_of(report, examples, "cpu_seconds")
    peak = report["peak_memory_bytes"] >> 20
    print(
        f"  {side:22}{speed_of(report, examples):9.3f} examples/s ({by_cpu:.3f} CPU s"
        f" each){peak:8,} MiB{steps}",
        flush=True,
    )
