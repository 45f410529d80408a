"""Killed at every step of a save and at bytes of all kinds, a training goes on the same
(benchmarks/kill_sweep.py)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(__file__).parents[2] / "benchmarks/kill_sweep.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("words", [["--bytes", "90"], pytest.param([], marks=pytest.mark.slow)])
def test_no_kill_point_leaves_a_torn_checkpoint_or_another_end(words: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(SWEEP), *words], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["points"] >= 200 and told["failures"] == {}
    kinds = set(told["kinds"])
    saving = {"write", "fsync", "file", "rename", "renamed", "synced", "drop", "unlink", "rmdir"}
    assert {f"checkpoint.{step}" for step in saving} < kinds
    assert {
        "train.step",
        "train.micro_batch",
        "train.stepped",
        "train.look",
        "files.rename",
    } < kinds
