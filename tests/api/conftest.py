"""A home folder of its own, a tiny model, a small task, and one decision on it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunesmith.testing.tiny_model import write_tiny_model

COLORS = ("red", "green", "blue")
THINGS = ("apple", "boat", "cloud", "door", "eagle", "fish", "grape", "house", "island", "jar")


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`TUNESMITH_HOME` in a temporary folder, no store but the one in there, no hub."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("TUNESMITH_HOME", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("TUNESMITH_STORE", raising=False)
        yield folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on two threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers that has learned nothing."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def rows() -> list[dict[str, str]]:
    """96 questions with one of three labels."""
    dice = random.Random(0)
    pairs = [(dice.choice(THINGS), dice.choice(COLORS)) for _ in range(96)]
    return [
        {"prompt": f"{number} {thing} is painted {color}", "completion": color}
        for number, (thing, color) in enumerate(pairs)
    ]


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> dict[str, Any]:
    """A recipe that the tiny model runs through in a second or two."""
    return {
        "model": str(tiny_model),
        "training.epochs": 1,
        "training.learning_rate": 0.01,
        "training.dtype": "float32",
        "training.batch_size": 8,
        "training.num_evals": 2,
        "adapter.rank": 4,
        "evaluation.max_test_examples": 12,
        "evaluation.max_validation_examples": 4,
        "evaluation.max_new_tokens": 8,
        "evaluation.max_shots": 2,
        "retrieval.top_k": 2,
    }
