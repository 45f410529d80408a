"""tunesmith beside TRL + PEFT and transformers.generate: `make bench`, or

    python -m benchmarks [--workload NAME] [--data FOLDER] [--peer-python PYTHON] [--search]
    [--repetitions N] [--ours]

Each measurement is a process of its own, so its peak memory is its own; ours and the peer's take
turns. Startup, loading and one warm-up step are not counted for either. Both get the same tokens
and masks (checked), the same initial adapter, the same examples in each step. Results go to
`latest.json` (rows of other workloads stay) and to the terminal. `--search` finds the peer's best
setting anew; `--ours` measures only our side against the last result, keeps nothing.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.compare import compare
from benchmarks.first_step import first_step
from benchmarks.gpu import ON_GPU, compare_on_gpu, with_llama
from benchmarks.jobs import HERE, Bench, has_bf16, has_gpu
from benchmarks.public_data import add_data_argument, find_missing_data
from benchmarks.results import Row, keep, show
from benchmarks.scaling import scaling
from benchmarks.search import search
from benchmarks.settings import knows
from benchmarks.share import matmul_share
from benchmarks.workloads import ANSWERINGS, TRAININGS, Answering, Training
from tunesmith.models.resolve import resolve_model
from tunesmith.models.tokenizer import load_tokenizer

OWN = {"matmul-share": matmul_share, "scaling": scaling, "first-step-100k": first_step}
"""Workloads without a peer."""


def main() -> int:
    compared: dict[str, Training | Answering] = {
        w.name: w for w in (*TRAININGS, *ANSWERINGS, *(ON_GPU if has_gpu() else ()))
    }
    given = arguments([*compared, *OWN])
    model = Path(resolve_model("smollm2-135m-instruct").folder)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(
            model,
            load_tokenizer(model),
            given.data.resolve(),
            given.peer_python,
            Path(folder),
            given.ours,
        )
        for name in [given.workload] if given.workload else [*compared, *OWN]:
            print(f"\n{name}", flush=True)
            found = OWN[name](bench) if name in OWN else beside_peer(compared[name], bench, given)
            if not given.ours:
                keep(found)  # at once: a long run that is stopped keeps what it has
            rows += found
    show(rows)
    return 0


def beside_peer(
    workload: Training | Answering, bench: Bench, given: argparse.Namespace
) -> list[Row]:
    workload = replace(workload, repetitions=given.repetitions or workload.repetitions)
    is_on_gpu = workload.name in {w.name for w in ON_GPU}
    bench = with_llama(bench) if is_on_gpu else bench
    if given.search or not knows(workload.name, has_bf16=has_bf16()):
        search(workload, bench)
    return compare_on_gpu(workload, bench) if is_on_gpu else compare(workload, bench)


def arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--workload", choices=names, help="only this one")
    add_data_argument(parser)
    parser.add_argument("--peer-python", type=Path, default=HERE.parent / ".cache/peers/bin/python")
    parser.add_argument("--search", action="store_true", help="find the peer's best setting anew")
    parser.add_argument("--repetitions", type=int, help="instead of the workload's own number")
    parser.add_argument(
        "--ours", action="store_true", help="only our side, beside the last result; keeps nothing"
    )
    given = parser.parse_args()
    if missing := find_missing_data(given.data):
        parser.error(missing)
    return given


if __name__ == "__main__":
    sys.exit(main())
