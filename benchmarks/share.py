"""matmul-share: useful operations per second as a share of the matmul rate beside them.

First of our gsm8k step; then of every workload, as its speed beside that of work which is nothing
but useful products at the same rate. The rate is that of the dtype we compute in: bfloat16 where
the machine has it, else float32.
"""

import statistics
from collections.abc import Sequence

from benchmarks.compare import Sides, asked, tell
from benchmarks.flops import Shape, forest_size
from benchmarks.jobs import Bench, Report, run_matmul, run_ours
from benchmarks.results import Row, paired
from benchmarks.search import speed_of
from benchmarks.workloads import (
    ANSWERINGS,
    TRAININGS,
    Answering,
    Training,
    question_tokens,
    training_arrays,
)

SQUARE = "torch matmul, large square, our dtype"


def matmul_share(bench: Bench) -> list[Row]:
    """For gsm8k the rate is measured before and after each run of ours, so both see the same
    machine."""
    workload = next(workload for workload in TRAININGS if workload.name == "gsm8k")
    arrays = training_arrays(workload, bench.data, bench.tokenizer)
    sides, shape = Sides(workload, arrays, bench), Shape.of(bench.model)
    ours, rates, before = [], [], run_matmul()
    for _ in range(workload.repetitions):
        report = sides.ours("auto")
        ours.append(useful_rate(workload, sides, shape, report))
        after = run_matmul()
        rates.append((before["square"] + after["square"]) / 2)
        best = f"best shape {after['best_shape']}: {after['best'] / 1e9:.1f}"
        print(f"  {ours[-1] / 1e9:.1f} of {rates[-1] / 1e9:.1f} Gflop/s; {best}", flush=True)
        before = after
    rate = statistics.median(rates)
    limits = [training_beside_the_limit(workload, bench, rate) for workload in TRAININGS]
    return [
        *share_of("matmul-share", ours, rates),
        *limits,
        *(answering_beside_the_limit(workload, bench, rate) for workload in ANSWERINGS),
    ]


def share_of(name: str, ours: Sequence[float], rates: Sequence[float]) -> list[Row]:
    """Our useful operations per second beside those of the square measured beside them, and their
    share."""
    row = paired(name, "flops_per_second", ours, rates, SQUARE)
    assert row.ratio is not None
    return [row, Row(name, "matmul_share", row.ratio, 1.0, SQUARE, row.ratio, row.repetitions)]


def training_beside_the_limit(workload: Training, bench: Bench, rate: float) -> Row:
    """One run of ours; the operations are the mean of the steps."""
    arrays, shape = training_arrays(workload, bench.data, bench.tokenizer), Shape.of(bench.model)
    speed = speed_of(Sides(workload, arrays, bench).ours("auto"), workload.batch_size)
    size = workload.batch_size * (2 if workload.method == "dpo" else 1)
    steps = [arrays.sequences[at : at + size] for at in range(0, len(arrays.sequences), size)]
    operations = statistics.mean(shape.step(forest_size(step)) for step in steps)
    return beside_the_limit(workload.name, speed, workload.batch_size * rate / operations)


def answering_beside_the_limit(workload: Answering, bench: Bench, rate: float) -> Row:
    """One run of ours; the operations are those of its answers."""
    prompts = question_tokens(workload, bench.data, bench.tokenizer)
    report = run_ours(asked(workload, prompts, bench) | {"precision": "auto"})
    tell("tunesmith", report, len(prompts))
    texts = []
    for prompt, answer in zip(prompts, report["answers"], strict=True):
        made = (
            answer
            if len(answer) == workload.max_new_tokens
            else [*answer, bench.tokenizer.stop_ids[0]]
        )
        texts.append((prompt + made, [0] * len(prompt) + [1] * len(made)))
    operations = Shape.of(bench.model).answers(forest_size(texts))
    return beside_the_limit(
        workload.name, speed_of(report, len(prompts)), len(prompts) * rate / operations
    )


def beside_the_limit(name: str, speed: float, limit: float) -> Row:
    return Row(
        "matmul-share",
        f"limit_of_{name}",
        speed,
        limit,
        "useful products at that rate",
        speed / limit,
        1,
    )


def useful_rate(workload: Training, sides: Sides, shape: Shape, report: Report) -> float:
    """Operations per second: the median over the counted steps."""
    size, order = workload.batch_size, report["order"]
    rates = []
    for step, seconds in enumerate(report["seconds"][1:], start=1):
        examples = order[step * size : (step + 1) * size]
        forest = forest_size(sides.arrays.sequences[e] for e in examples)
        rates.append(shape.step(forest, trains_all=workload.kind == "full") / seconds)
    return statistics.median(rates)
