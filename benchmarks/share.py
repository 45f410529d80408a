"""matmul-share: the useful operations per second of our gsm8k step, as a share of the matmul rate beside it.

The rate is that of the dtype we compute in: bfloat16 where the machine has it, else float32.
"""

import statistics

from benchmarks.compare import Sides
from benchmarks.flops import Shape, forest_size
from benchmarks.jobs import Bench, Report, run_matmul
from benchmarks.results import Row, last_row, paired
from benchmarks.workloads import TRAININGS, Training, training_arrays

SQUARE = "torch matmul, large square, our dtype"


def matmul_share(bench: Bench) -> list[Row]:
    """The rate is measured before and after each run of ours, so both see the same machine."""
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
    row = paired("matmul-share", "flops_per_second", ours, rates, SQUARE)
    assert row.ratio is not None
    share = Row("matmul-share", "matmul_share", row.ratio, 1.0, SQUARE, row.ratio, row.repetitions)
    known = [workload for workload in TRAININGS if last_row(workload.name, "examples_per_second").tunesmith]
    return [row, share, *(beside_the_limit(workload, bench, statistics.median(rates)) for workload in known)]


def beside_the_limit(workload: Training, bench: Bench, rate: float) -> Row:
    """Our last examples per second beside those of a step that is nothing but useful products at the full rate."""
    arrays, shape = training_arrays(workload, bench.data, bench.tokenizer), Shape.of(bench.model)
    size = workload.batch_size * (2 if workload.method == "dpo" else 1)
    steps = [arrays.sequences[at : at + size] for at in range(0, len(arrays.sequences), size)]
    operations = statistics.mean(shape.step(forest_size(step)) for step in steps)
    most, ours = workload.batch_size * rate / operations, last_row(workload.name, "examples_per_second").tunesmith
    return Row("matmul-share", f"limit_of_{workload.name}", ours, most, "useful products at that rate", ours / most, 1)


def useful_rate(workload: Training, sides: Sides, shape: Shape, report: Report) -> float:
    """Operations per second: the median over the counted steps."""
    size, order = workload.batch_size, report["order"]
    rates = []
    for step, seconds in enumerate(report["seconds"][1:], start=1):
        examples = order[step * size : (step + 1) * size]
        forest = forest_size(sides.arrays.sequences[e] for e in examples)
        rates.append(shape.step(forest, trains_all=workload.kind == "full") / seconds)
    return statistics.median(rates)
