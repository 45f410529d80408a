"""matmul-share: the useful operations per second of our gsm8k step, as a share of the matmul rate beside it.

The rate is that of the dtype we compute in: bfloat16 where the machine has it, else float32.
"""

import statistics
from collections.abc import Sequence

from benchmarks.compare import Sides
from benchmarks.flops import Shape, forest_size
from benchmarks.jobs import Bench, Report, answering_job, run_matmul, run_ours
from benchmarks.results import Row, last_row, paired
from benchmarks.workloads import (
    ANSWERINGS,
    TRAININGS,
    Answering,
    Training,
    question_tokens,
    training_arrays,
    write_prompts,
)

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
    known = [workload for workload in TRAININGS if last_row(workload.name, "examples_per_second").tunesmith]
    rate = statistics.median(rates)
    limits = [beside_the_limit(workload.name, *training_step(workload, bench), rate) for workload in known]
    asked = [workload for workload in ANSWERINGS if last_row(workload.name, "examples_per_second").tunesmith]
    return [
        *share_of("matmul-share", ours, rates),
        *limits,
        *(beside_the_limit(workload.name, *answers(workload, bench), rate) for workload in asked),
    ]


def share_of(name: str, ours: Sequence[float], rates: Sequence[float]) -> list[Row]:
    """Our useful operations per second beside those of the square measured beside them, and their share."""
    row = paired(name, "flops_per_second", ours, rates, SQUARE)
    assert row.ratio is not None
    return [row, Row(name, "matmul_share", row.ratio, 1.0, SQUARE, row.ratio, row.repetitions)]


def training_step(workload: Training, bench: Bench) -> tuple[int, float]:
    """Examples of a step and their useful operations, the mean of the steps."""
    arrays, shape = training_arrays(workload, bench.data, bench.tokenizer), Shape.of(bench.model)
    size = workload.batch_size * (2 if workload.method == "dpo" else 1)
    steps = [arrays.sequences[at : at + size] for at in range(0, len(arrays.sequences), size)]
    return workload.batch_size, statistics.mean(shape.step(forest_size(step)) for step in steps)


def answers(workload: Answering, bench: Bench) -> tuple[int, int]:
    """The questions and the useful operations of our answers to them."""
    prompts = question_tokens(workload, bench.data, bench.tokenizer)
    data, stop_ids = bench.folder / f"{workload.name}.json", bench.tokenizer.stop_ids
    write_prompts(prompts, data)
    report = run_ours(answering_job(workload, data, bench.model, stop_ids) | {"precision": "auto"})
    texts = []
    for prompt, answer in zip(prompts, report["answers"], strict=True):
        made = answer if len(answer) == workload.max_new_tokens else [*answer, stop_ids[0]]
        texts.append((prompt + made, [0] * len(prompt) + [1] * len(made)))
    return len(prompts), Shape.of(bench.model).answers(forest_size(texts))


def beside_the_limit(name: str, examples: int, operations: float, rate: float) -> Row:
    """Our last examples per second beside those of work that is nothing but useful products at the full rate."""
    most, ours = examples * rate / operations, last_row(name, "examples_per_second").tunesmith
    return Row("matmul-share", f"limit_of_{name}", ours, most, "useful products at that rate", ours / most, 1)


def useful_rate(workload: Training, sides: Sides, shape: Shape, report: Report) -> float:
    """Operations per second: the median over the counted steps."""
    size, order = workload.batch_size, report["order"]
    rates = []
    for step, seconds in enumerate(report["seconds"][1:], start=1):
        examples = order[step * size : (step + 1) * size]
        forest = forest_size(sides.arrays.sequences[e] for e in examples)
        rates.append(shape.step(forest, trains_all=workload.kind == "full") / seconds)
    return statistics.median(rates)
