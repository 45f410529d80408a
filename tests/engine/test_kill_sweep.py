"""Killed at every step of a save and at bytes of every kind, a training goes on bit by bit (benchmarks/kill_sweep.py)."""

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
    done = subprocess.run([sys.executable, str(SWEEP), *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["points"] >= 200 and told["failures"] == {}
    kinds = set(told["kinds"])
    assert {
        "checkpoint.write",
        "checkpoint.fsync",
        "checkpoint.rename",
        "checkpoint.renamed",
        "checkpoint.synced",
    } < kinds
    assert {"checkpoint.drop", "checkpoint.unlink", "train.micro_batch", "train.stepped", "files.rename"} < kinds
