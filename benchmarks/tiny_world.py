"""A small world in which the whole program takes a second or two: a random two-layer model, 96
examples, short work.

Commands run in forks of this process, which has imported everything already. Nothing is fetched.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a fork cannot use a device that its parent has opened
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import tunesmith.engine.adapter_training
import tunesmith.engine.adapters.merge
import tunesmith.engine.generation
import tunesmith.workflow.compare
import tunesmith.workflow.decide
import tunesmith.workflow.export
import tunesmith.workflow.model_evaluation
import tunesmith.workflow.resume  # noqa: F401 - imported once here and not in each fork
from tunesmith import failpoints
from tunesmith.atomic_io import compute_sha256
from tunesmith.cli.main import run
from tunesmith.records import Decision, Evaluation
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.tiny_model import write_tiny_model

SHORT = (
    "training.epochs=1",
    "training.learning_rate=0.01",
    "training.dtype=float32",
    "training.batch_size=8",
    "training.num_evals=2",
    "training.checkpoint_minutes=0",
    "adapter.rank=4",
    "evaluation.max_test_examples=12",
    "evaluation.max_validation_examples=4",
    "evaluation.max_new_tokens=8",
    "evaluation.max_shots=2",
    "evaluation.prompt_trials=2",
    "retrieval.top_k=2",
)


class Ended(NamedTuple):
    """How a command ended: exit code (negative: the signal), what it printed to both streams,
    seconds."""

    code: int
    text: str
    seconds: float


class World:
    """A folder with a home, a model and data; `words` are the flags that make any command short."""

    def __init__(self, place: Path) -> None:
        torch.set_num_threads(1)  # threads do not survive a fork
        self.place, self.home = place, place / "home"
        self.model, self.data = place / "model", place / "labels.csv"
        os.environ.update({"TUNESMITH_HOME": str(self.home), "HF_HUB_OFFLINE": "1"})
        os.environ.pop("TUNESMITH_STORE", None)
        write_tiny_model(self.model)
        self._write_data()
        self.words = [
            word for change in (f"model={self.model}", *SHORT) for word in ("--set", change)
        ]
        (place / "recipe.yaml").write_text(
            f"data: {{path: {self.data}}}\nadapter: {{dropout: 0.1}}\n"
        )

    def _write_data(self) -> None:
        dice, lines = random.Random(0), ["prompt,completion"]
        for number in range(96):
            thing, color = (
                dice.choice(("boat", "door", "fish", "jar", "kite")),
                dice.choice(("red", "green", "blue")),
            )
            lines.append(f"{number} {thing} is painted {color},{color}")
        self.data.write_text("\n".join(lines) + "\n")

    def command(self, name: str, out: Path, run_folder: Path | None = None) -> list[str]:
        """The words of a command whose result goes to `out`."""
        return {
            "train": ["train", str(self.place / "recipe.yaml"), *self.words, "--out", str(out)],
            "decide": ["decide", str(self.data), *self.words, "--out", str(out)],
            "resume": ["resume", str(run_folder)],
            "export": ["export", str(run_folder), "--to", str(out / "model")],
            "evaluate": [
                "evaluate",
                str(self.model),
                "--data",
                str(self.data),
                *self.words[2:],
                "--out",
                str(out),
            ],
        }[name]

    def call(
        self, words: Sequence[str], fault: str | None = None, kill_after: float | None = None
    ) -> Ended:
        """One command line in a fork, killed after so many seconds, or with a failpoint armed."""
        log, began = self.place / "printed.txt", time.monotonic()
        pid = os.fork()
        if pid == 0:
            in_the_fork(words, fault, log)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Ended(code, log.read_text(errors="replace"), time.monotonic() - began)


def in_the_fork(words: Sequence[str], fault: str | None, log: Path) -> None:
    """Run one command line and never come back."""
    code = 99
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        torch.set_num_threads(
            1
        )  # makes torch's pool anew before several threads ask for it at once
        failpoints.arm(fault)
        code = run(list(words))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def points_of(world: World, words: Sequence[str]) -> list[str]:
    """Every failpoint that a command passes, as `POINT:NTH`. The command is run once."""
    path = world.place / "points.txt"
    hit = failpoints.hit
    counts: dict[str, int] = {}

    def traced(point: str, at: Path | None = None) -> None:
        counts[point] = counts.get(point, 0) + 1
        with path.open("a") as file:
            file.write(f"{point}:{counts[point]}\n")

    path.write_text("")
    failpoints.hit = traced  # type: ignore[assignment]
    try:
        ended = world.call(words)
    finally:
        failpoints.hit = hit
    assert ended.code == 0, ended.text
    return path.read_text().split()


def visible_in(out: Path) -> list[Path]:
    """What a user sees in a folder."""
    return (
        sorted(path for path in out.iterdir() if not path.name.startswith("."))
        if out.is_dir()
        else []
    )


def leftovers_in(out: Path) -> list[str]:
    """Temporaries, wherever they are below."""
    return (
        sorted(path.relative_to(out).as_posix() for path in out.rglob(".tmp-*"))
        if out.is_dir()
        else []
    )


def outcome_of(folder: Path) -> dict[str, Any]:
    """What a run, an evaluation or an exported model is, without what a clock said."""
    weights = {
        path.relative_to(folder).as_posix(): compute_sha256(path)
        for path in sorted(folder.rglob("*.safetensors"))
    }
    opened = RunFolder(folder)
    steps = [line.model_dump(exclude={"seconds"}) for line in opened.read_metrics().records]
    found: dict[str, Any] = {
        "weights": weights,
        "steps": steps,
        "samples": opened.read_samples().records,
    }
    found["answers"] = {
        name: [
            answer.model_dump(exclude={"seconds"}) for answer in opened.read_answers(name).records
        ]
        for name in opened.list_contenders()
    }
    found["choices"] = {one.purpose: one.trials for one in opened.read_selections().records}
    if opened.has(Evaluation):
        evaluation = opened.read(Evaluation)
        found["metrics"] = {one.name: one.metrics for one in evaluation.contenders}
    if opened.has(Decision):
        decision = opened.read(Decision)
        found["verdict"] = (decision.verdict, decision.winner)
    found["damage"] = opened.find_damage()
    found["unfinished"] = [name for name in ("checkpoints", "lesson") if (folder / name).exists()]
    return found
