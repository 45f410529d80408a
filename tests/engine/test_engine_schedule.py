"""The learning rate over a training, and progress by steps or by time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from tunesmith.engine.schedule import TrainingProgress, compute_lr_multiplier

SCHEDULES = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}


@pytest.mark.parametrize("decay", SCHEDULES)
def test_rates_are_those_of_transformers_at_the_same_progress(decay: str) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = SCHEDULES[decay](optimizer, num_warmup_steps=20, num_training_steps=100)
    for step in range(100):
        assert compute_lr_multiplier(step / 100, 0.2, decay) == pytest.approx(
            optimizer.param_groups[0]["lr"], abs=1e-9
        )
        optimizer.step()
        theirs.step()


@given(
    progress=st.floats(0, 1),
    warmup=st.floats(0, 0.9),
    decay=st.sampled_from(["linear", "cosine", "constant"]),
)
def test_the_rate_stays_between_zero_and_the_peak(
    progress: float, warmup: float, decay: str
) -> None:
    assert 0 <= compute_lr_multiplier(progress, warmup, decay) <= 1


def test_no_step_is_wasted_at_rate_zero() -> None:
    progress = TrainingProgress(planned_steps=4, budget_seconds=None)
    shares = []
    for step in range(4):
        progress.step = step
        shares.append(compute_lr_multiplier(progress.next_step_midpoint, 0.25, "linear"))
    assert shares == pytest.approx([0.5, 5 / 6, 0.5, 1 / 6])


def test_a_time_budget_leaves_room_for_the_last_validation() -> None:
    clock = [0.0]
    progress = TrainingProgress(planned_steps=None, budget_seconds=100.0, clock=lambda: clock[0])
    progress.last_validation_seconds, progress.step_seconds = 20.0, 8.0
    clock[0] = 40.0
    assert progress.completed_fraction == pytest.approx(0.5)
    assert progress.next_step_midpoint == pytest.approx(0.55)
    clock[0] = 81.0
    assert progress.completed_fraction == 1.0


def test_a_budget_smaller_than_validation_still_trains() -> None:
    clock = [0.0]
    progress = TrainingProgress(planned_steps=None, budget_seconds=10.0, clock=lambda: clock[0])
    progress.last_validation_seconds = 500.0
    assert progress.completed_fraction == 0.0


def test_progress_goes_on_where_a_checkpoint_left_it() -> None:
    clock = [10.0]
    before = TrainingProgress(planned_steps=None, budget_seconds=100.0, clock=lambda: clock[0])
    clock[0] = 40.0
    (
        before.step,
        before.last_validation_seconds,
        before.validations,
        before.tokens_read,
        before.mean_loss,
    ) = (
        7,
        10.0,
        2,
        1234,
        0.1 + 0.2,
    )
    before.validations_without_gain, before.lowest_loss = 1, 0.5
    clock[0] = 5_000.0  # another process, much later
    after = TrainingProgress(planned_steps=None, budget_seconds=100.0, clock=lambda: clock[0])
    clock[0] = 40.0
    state = before.as_state()
    clock[0] = 5_000.0
    after.restore(state)
    assert (after.validations_without_gain, after.lowest_loss) == (1, 0.5)
    assert (after.seconds, after.completed_fraction) == (30.0, pytest.approx(30 / 90))
    clock[0] += 60
    assert after.completed_fraction == 1.0
    assert after.as_state() == {**state, "seconds": 90.0}


def test_a_checkpoint_that_is_older_than_a_count_begins_it() -> None:
    progress = TrainingProgress(planned_steps=10, budget_seconds=None)
    old = {
        name: value for name, value in progress.as_state().items() if name != "looks_without_gain"
    }
    progress.restore({**old, "step": 4})
    assert (progress.step, progress.validations_without_gain) == (4, 0)
