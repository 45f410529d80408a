"""What counts as odd about a step."""

from tunesmith.engine.schedule import TrainingProgress
from tunesmith.engine.trainer import (
    MAX_CONSECUTIVE_BAD_STEPS,
    describe_loss_spike,
    should_skip_step,
)
from tunesmith.errors import NonFiniteError, TrainingError


def progress() -> TrainingProgress:
    return TrainingProgress(planned_steps=10, budget_seconds=None)


def test_a_hundred_times_the_usual_loss_is_told_once_it_is_usual() -> None:
    so_far = progress()
    assert all(describe_loss_spike(loss, so_far) is None for loss in (2.0, 1.5, 2.5, 90.0))
    assert describe_loss_spike(5000.0, so_far) == "loss 5000 is 463 times its running mean"
    assert describe_loss_spike(2.0, so_far) is None


def test_the_first_step_has_nothing_to_be_compared_with() -> None:
    assert describe_loss_spike(1e9, progress()) is None


def test_a_text_known_by_heart_has_no_spikes() -> None:
    so_far = progress()
    assert all(describe_loss_spike(loss, so_far) is None for loss in (1e-6, 1e-6, 0.5))


def test_a_good_step_ends_a_row_of_bad_ones() -> None:
    so_far, bad = progress(), NonFiniteError("loss-not-finite", "x")
    for _ in range(MAX_CONSECUTIVE_BAD_STEPS):
        assert should_skip_step(bad, "skip", so_far)
    describe_loss_spike(1.0, so_far)
    assert should_skip_step(bad, "skip", so_far)
    for _ in range(MAX_CONSECUTIVE_BAD_STEPS - 1):
        assert should_skip_step(bad, "skip", so_far)
    assert not should_skip_step(bad, "skip", so_far)


def test_nothing_else_is_ever_left_out() -> None:
    assert not should_skip_step(TrainingError("out-of-memory", "x"), "skip", progress())
    assert not should_skip_step(NonFiniteError("loss-not-finite", "x"), "stop", progress())
