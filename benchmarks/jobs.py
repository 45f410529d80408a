"""Jobs: what one side is asked to do, as a file, and the process of its own that does it."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.workloads import Answering, Training
from tunesmith.models.tokenizer import FolderTokenizer

HERE = Path(__file__).parent
RANK, ALPHA, BETA, SEED = 16, 32.0, 0.1, 0

Job = dict[str, Any]
Report = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where everything is: the model, its tokenizer, the data, the peers' Python, a folder for what
    goes to and fro."""

    model: Path
    tokenizer: FolderTokenizer
    data: Path
    peer_python: Path
    folder: Path
    only_ours: bool = False


def training_job(workload: Training, data: Path, model: Path, steps: int | None = None) -> Job:
    """What both sides are asked alike. `precision` and how the step is cut are each side's own."""
    return {
        "method": workload.method,
        "kind": workload.kind,
        "model": str(model),
        "data": str(data),
        "seed": SEED,
        "batch_size": workload.batch_size,
        "steps": steps or workload.all_steps,
        "learning_rate": workload.learning_rate,
        "rank": RANK,
        "alpha": ALPHA,
        "beta": BETA,
    }


def answering_job(workload: Answering, data: Path, model: Path, stop_ids: tuple[int, ...]) -> Job:
    return {
        "method": "generate",
        "kind": "none",
        "model": str(model),
        "data": str(data),
        "stop_ids": list(stop_ids),
        "max_new_tokens": workload.max_new_tokens,
    }


def run_ours(job: Job) -> Report:
    return _run([sys.executable, "-m", "benchmarks.ours"], job, HERE.parent)


def run_peer(python: Path, job: Job) -> Report:
    script = "generate.py" if job["method"] == "generate" else "train.py"
    return _run([str(python), str(HERE / "peers" / script)], job, HERE / "peers")


def run_code(code: str, job: Job) -> Report:
    """Some lines of Python that need torch. This process does without: a child's peak memory begins
    as its parent's."""
    return _run([sys.executable, "-c", code], job, HERE.parent)


@cache
def has_gpu() -> bool:
    """Whether torch sees a CUDA device."""
    return bool(run_code("import torch; print(int(torch.cuda.is_available()))", {}))


@cache
def has_bf16() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; elsewhere both sides compute in
    float32."""
    code = (
        "import torch; from tunesmith.engine.model_loading import has_bfloat16_matmul as"
        " multiplies\nprint(int(multiplies(torch.device('cuda' if torch.cuda.is_available() else"
        " 'cpu'))))"
    )
    return bool(run_code(code, {}))


def run_matmul() -> Report:
    return _run(
        [sys.executable, "-m", "benchmarks.matmul", "bfloat16" if has_bf16() else "float32"],
        {},
        HERE.parent,
    )


class ChildFailed(Exception):
    """A side did not come to its end; the text is the end of what it said."""


def _run(command: list[str], job: Job, cwd: Path) -> Report:
    # Both sides get what `tunesmith` sets for itself: waiting threads spin less, which helps both
    # on a busy machine.
    environment = {
        "GOMP_SPINCOUNT": "10000",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        **os.environ,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        child = subprocess.run(
            [*command, file.name],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode:
        raise ChildFailed(
            f"{' '.join(command)} ended with {child.returncode}: {child.stderr[-2000:]}"
        )
    report: Report = json.loads(child.stdout.splitlines()[-1])
    return report
