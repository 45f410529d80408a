"""The search itself, and the first inputs of every target; what a long search finds becomes a test
of its room."""

import random
from pathlib import Path

import pytest

from tests.fuzz.child import try_input
from tests.fuzz.mutate import mutate
from tests.fuzz.target import BadError, Target, run_once
from tests.fuzz.targets import TARGETS
from tunesmith.errors import DataError


@pytest.mark.parametrize("name", list(TARGETS))
def test_the_first_inputs_of_a_target_give_a_result_or_an_error_that_says_all(
    name: str, tmp_path: Path
) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_once(target, mutate(seeds, random.Random(f"{name} {number}")), folder)


def test_the_same_number_gives_the_same_input() -> None:
    seeds = TARGETS["jsonl"].seeds()
    made = [mutate(seeds, random.Random(f"a {number}")) for number in range(50)]
    assert made == [mutate(seeds, random.Random(f"a {number}")) for number in range(50)]
    assert len(set(made)) > 40


def test_an_error_that_gives_no_advice_is_a_failure(tmp_path: Path) -> None:
    def refuse(data: bytes, folder: Path) -> None:
        raise DataError("bad", "This is bad.", at="here")

    with pytest.raises(BadError):
        run_once(Target("t", refuse, lambda: [b""]), b"", tmp_path)


def test_a_failure_is_written_with_its_input_its_seed_and_the_traceback(tmp_path: Path) -> None:
    def divide(data: bytes, folder: Path) -> float:
        return 1 / len(data)

    target = Target("divide", divide, lambda: [b"a"])
    assert try_input(target, b"a", 6, tmp_path) == "result"
    assert try_input(target, b"", 7, tmp_path) == "failure"
    (kept,) = tmp_path.iterdir()
    assert (kept / "input").read_bytes() == b""
    why = (kept / "why.txt").read_text()
    assert why.startswith("target divide, seed 7\n") and "ZeroDivisionError" in why
