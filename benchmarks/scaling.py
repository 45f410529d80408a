"""scaling: our seconds per step from 1k to 16k tokens of branches under one shared prompt; they
must grow linearly."""

import random

from benchmarks.arrays import Arrays
from benchmarks.compare import tell
from benchmarks.jobs import Bench, run_ours, training_job
from benchmarks.results import Row, paired
from benchmarks.workloads import Training

PREFIX_TOKENS, BRANCH_TOKENS, TRAINED_TOKENS = 200, 100, 50
SIZES = (1_000, 2_000, 4_000, 8_000, 16_000)
REPETITIONS = 3


def scaling(bench: Bench) -> list[Row]:
    """Seconds per 1,000 tokens at each size, beside those at the smallest."""
    seconds = {size: [per_thousand(size, bench) for _ in range(REPETITIONS)] for size in SIZES}
    smallest = seconds[SIZES[0]]
    return [
        paired(
            "scaling",
            f"seconds_per_1000_tokens_at_{size}",
            seconds[size],
            smallest,
            f"tunesmith at {SIZES[0]}",
        )
        for size in SIZES[1:]
    ]


def per_thousand(branch_tokens: int, bench: Bench) -> float:
    """Seconds of the counted steps for each 1,000 tokens, prefix included."""
    branches = branch_tokens // BRANCH_TOKENS
    workload = Training(
        f"scaling-{branch_tokens}", branches, branches, steps=3 if branch_tokens < 8000 else 1
    )
    data = bench.folder / f"{workload.name}.npz"
    made_up(branches * workload.all_steps).write(data)
    report = run_ours(
        training_job(workload, data, bench.model) | {"precision": "auto", "save_initial": None}
    )
    tell(f"{branch_tokens:,} tokens", report, branches)
    return sum(report["seconds"][1:]) / workload.steps / (branch_tokens + PREFIX_TOKENS) * 1000


def made_up(examples: int) -> Arrays:
    """Random tokens: one prompt for all, then a question and an answer each."""
    dice = random.Random(0)
    prefix = [dice.randrange(100, 40_000) for _ in range(PREFIX_TOKENS)]
    mask = [0] * (PREFIX_TOKENS + BRANCH_TOKENS - TRAINED_TOKENS) + [1] * TRAINED_TOKENS
    return Arrays.of(
        (prefix + [dice.randrange(100, 40_000) for _ in range(BRANCH_TOKENS)], mask)
        for _ in range(examples)
    )
