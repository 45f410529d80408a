"""The whole program on a machine of its own: a home folder, a tiny chat model with random weights,
two small tasks."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from door import Door, Printed

from tunesmith.cli.main import run
from tunesmith.testing.tiny_model import write_tiny_model

COLOURS = ("red", "green", "blue")
THINGS = (
    "apple",
    "boat",
    "cloud",
    "door",
    "eagle",
    "fish",
    "grape",
    "house",
    "island",
    "jar",
    "kite",
    "lamp",
    "moon",
)
TINY = (
    "training.epochs=1",
    "training.learning_rate=0.01",
    "training.dtype=float32",
    "training.batch_size=8",
    "training.num_evals=2",
    "adapter.rank=4",
    "evaluation.max_test_examples=12",
    "evaluation.max_validation_examples=4",
    "evaluation.max_new_tokens=8",
    "evaluation.max_shots=2",
    "retrieval.top_k=2",
)
"""A recipe that a tiny model runs through in a second or two. Epochs and float32: the same seed
gives the same bits."""


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`TUNESMITH_HOME` in a temporary folder, no store but the one in there, no hub."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("TUNESMITH_HOME", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # for the processes of `start`
        patch.delenv("TUNESMITH_STORE", raising=False)
        yield folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on two threads, much slower where the cores are shared."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers that has learned nothing, with a ChatML tokenizer of 400 tokens."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def labels_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 questions with one of three labels."""
    path = tmp_path_factory.mktemp("data") / "labels.csv"
    rows = [
        f"{number} {thing} is painted {colour},{colour}"
        for number, (thing, colour) in enumerate(_pairs(96))
    ]
    path.write_text("prompt,completion\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def fields_jsonl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 sentences with their parts as JSON."""
    path = tmp_path_factory.mktemp("data") / "fields.jsonl"
    rows = [
        {
            "prompt": f"{number} a {colour} {thing}",
            "completion": json.dumps({"thing": thing, "colour": colour}),
        }
        for number, (thing, colour) in enumerate(_pairs(96))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _pairs(count: int) -> list[tuple[str, str]]:
    dice = random.Random(0)
    return [(dice.choice(THINGS), dice.choice(COLOURS)) for _ in range(count)]


@pytest.fixture
def tunesmith(capsys: pytest.CaptureFixture[str]) -> Door:
    """Run one command line in this process."""

    def door(*words: object) -> Printed:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Printed(code, *capsys.readouterr())

    return door


@pytest.fixture(scope="session")
def settings(tiny_model: Path) -> list[str]:
    """The flags that make any command tiny: the model and short work."""
    return [word for change in (f"model={tiny_model}", *TINY) for word in ("--set", change)]


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin one command line in a process of its own; it is gone when the test is."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: object, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith.cli.main", *map(str, words)],
            text=True,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TUNESMITH_HOME": str(home), **options.pop("env", {})},
            **options,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
