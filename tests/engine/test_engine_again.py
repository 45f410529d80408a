"""What is cheap to make again is not kept, and the gradients keep their bits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tunesmith.engine.adapters import lora as lora_module
from tunesmith.engine.adapters.lora import attach_lora, list_lora_parameters
from tunesmith.engine.kernels.gated_mlp import GatedMlp
from tunesmith.engine.kernels.recompute import Recomputation, get_recompute_info, mark_recomputable
from tunesmith.engine.kernels.rms_norm import RmsNorm
from tunesmith.engine.memory import _StorageCounter
from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import MemoryPlan, TokenArrays

Task = Callable[..., TokenArrays]


@pytest.fixture
def adapted(tiny: LoadedModel) -> LoadedModel:
    torch.manual_seed(0)
    attach_lora(tiny.model, 4, 8.0, 0.0)
    for weight in list_lora_parameters(tiny.model):
        weight.data.normal_(std=0.1)
    return tiny


def gradients(loaded: LoadedModel, arrays: TokenArrays, plan: MemoryPlan) -> list[Tensor]:
    loaded.model.zero_grad(set_to_none=True)
    TrainingStep(loaded, Sft(), plan).backward(arrays, range(len(arrays)), 1)
    return [weight.grad for weight in list_lora_parameters(loaded.model)]


def kept_bytes(loaded: LoadedModel, arrays: TokenArrays, *, checkpointing: bool = False) -> int:
    """All that the forward pass made and something still holds for the backward pass."""
    stepper = TrainingStep(loaded, Sft(), MemoryPlan(checkpointing=checkpointing))
    everything = list(range(len(arrays)))
    with stepper._use_forest_attention(), _StorageCounter() as counter:
        scores = stepper._compute_logprobs(arrays, everything)
    assert scores.logps_S.requires_grad
    return counter.used_bytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradients_have_the_bits_of_those_with_everything_kept(
    adapted: LoadedModel,
    task: Task,
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    checkpointing: bool,
) -> None:
    adapted.model.to(dtype).train()
    arrays, plan = task(8), MemoryPlan(checkpointing=checkpointing)
    with_notes = gradients(adapted, arrays, plan)
    monkeypatch.setattr(lora_module, "get_recompute_info", lambda x: None)
    for mine, other in zip(with_notes, gradients(adapted, arrays, plan), strict=True):
        assert torch.equal(mine, other)


def test_a_tensor_that_was_changed_in_place_has_no_note() -> None:
    source = torch.ones(3)
    made = mark_recomputable(source * 2, torch.neg, source)
    made.mul_(3)
    assert get_recompute_info(made) is None
    other = mark_recomputable(source * 2, torch.neg, source)
    source.add_(1)
    assert get_recompute_info(other) is None


@pytest.mark.parametrize("from_one", [False, True])
def test_a_norm_and_a_gate_are_made_again_bit_by_bit(from_one: bool) -> None:
    torch.manual_seed(0)
    norm = RmsNorm(torch.nn.Parameter(torch.randn(32)), 1e-6, from_one=from_one)
    for dtype in (torch.float32, torch.bfloat16):
        normed = norm.to(dtype)(torch.randn(5, 32, dtype=dtype))
        note = get_recompute_info(normed)
        assert note is not None and torch.equal(note.recomputation.function(*note.sources), normed)
    seen: list[Tensor] = []
    down = torch.nn.Linear(48, 32)
    down.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for activation in ("silu", "gelu", "gelu_tanh"):
        GatedMlp(torch.nn.Linear(32, 48), torch.nn.Linear(32, 48), down, activation)(
            torch.randn(5, 32)
        )
        note = get_recompute_info(seen[-1])
        assert note is not None and torch.equal(
            note.recomputation.function(*note.sources), seen[-1]
        )


def test_less_is_kept(adapted: LoadedModel, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = task(8)
    with_notes = kept_bytes(adapted, arrays)
    monkeypatch.setattr(lora_module, "get_recompute_info", lambda x: None)
    without = kept_bytes(adapted, arrays)
    assert with_notes < 0.85 * without


def test_checkpointing_still_keeps_only_what_enters_a_layer(
    adapted: LoadedModel, task: Task
) -> None:
    adapted.model.train()
    arrays = task(8)
    assert kept_bytes(adapted, arrays, checkpointing=True) < 0.5 * kept_bytes(adapted, arrays)


def test_a_tensor_is_made_once_for_all_that_ask_and_then_forgotten() -> None:
    times = 0

    def double(x: Tensor) -> Tensor:
        nonlocal times
        times += 1
        return 2 * x

    maker, x = Recomputation(double), torch.ones(3)
    maker.pending = 3
    made = [maker.make([x]) for _ in range(3)]
    assert times == 1 and all(one is made[0] for one in made)
    assert maker.make([x]) is not made[0], "a graph that is walked again gets it anew"


def test_nothing_is_noted_where_no_gradient_is_wanted() -> None:
    x = torch.ones(3)
    with torch.no_grad():
        assert get_recompute_info(mark_recomputable(x * 2, torch.neg, x)) is None
    assert get_recompute_info(mark_recomputable(x * 2, torch.neg, x)) is not None
