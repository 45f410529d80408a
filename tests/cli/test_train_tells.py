"""What is printed when a tuning has ended."""

from pathlib import Path

import pytest

from tunesmith.cli.train import print_training_result
from tunesmith.records import Run, TrainingResult


@pytest.mark.parametrize("ended_early", [False, True])
def test_a_training_that_ended_early_says_so(
    capsys: pytest.CaptureFixture[str], ended_early: bool
) -> None:
    result = TrainingResult.model_construct(
        status="finished",
        steps=10,
        seconds=3.0,
        best_step=6,
        best_validation_loss=0.5,
        stopped_early=ended_early,
    )
    print_training_result(
        Run.model_construct(id="r1", result=result), Path("runs/r1"), as_json=False
    )
    printed = capsys.readouterr().out
    assert (
        "run r1: finished after 10 steps in 3 s" in printed and "best checkpoint: step 6" in printed
    )
    assert ("stopped early: no improvement" in printed) == ended_early
