"""The loss in pieces, the cut of a step into micro-batches, and what may be shared."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, BartConfig, MBartConfig, PretrainedConfig

from tunesmith.engine import token_loss as loss_module
from tunesmith.engine.adapters.lora import attach_lora, list_lora_parameters
from tunesmith.engine.attention.hf_backend import NOT_PLAIN_REASON, find_no_forest_reason
from tunesmith.engine.batching import collate, iterate_batches, split_into_micro_batches
from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.prefix_forest import build_forest
from tunesmith.engine.token_loss import MAX_CHUNK_POSITIONS, compute_token_losses
from tunesmith.engine.training_step import TrainingStep
from tunesmith.records import MemoryPlan, TokenArrays
from tunesmith.testing.rounding_tolerance import LOSS_TERMS, assert_close_within_rounding

Rows = list[tuple[list[int], list[float]]]
ArraysOf = Callable[[Rows], TokenArrays]


@pytest.mark.parametrize(
    "positions", [1, MAX_CHUNK_POSITIONS, MAX_CHUNK_POSITIONS + 1, 3 * MAX_CHUNK_POSITIONS - 5]
)
@pytest.mark.parametrize("is_head_trained", [False, True])
@pytest.mark.parametrize("vocabulary", [1, 24, 64, 4096])
def test_losses_and_gradients_are_those_of_the_whole_matrix(
    tiny: LoadedModel,
    positions: int,
    is_head_trained: bool,
    vocabulary: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loss_module, "MAX_CHUNK_VOCABULARY", {"cpu": vocabulary})
    model = tiny.model.double()
    head = model.get_output_embeddings().weight.requires_grad_(is_head_trained)
    torch.manual_seed(0)
    hidden = torch.randn(positions, 32, dtype=torch.float64, requires_grad=True)
    targets, upstream = (
        torch.randint(0, 64, (positions,)),
        torch.rand(positions, dtype=torch.float64),
    )
    losses = compute_token_losses(model, hidden, targets)
    expected = cross_entropy(hidden @ head.T, targets, reduction="none")
    wanted = (hidden, head) if is_head_trained else (hidden,)
    assert_close_within_rounding(losses, expected)
    for mine, other in zip(
        torch.autograd.grad((losses * upstream).sum(), wanted),
        torch.autograd.grad((expected * upstream).sum(), wanted),
        strict=True,
    ):
        assert_close_within_rounding(mine, other)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_a_target_that_is_nearly_certain_keeps_its_small_gradient_in_bfloat16(
    tiny: LoadedModel, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The difference of two sums that are nearly equal would be all rounding."""
    monkeypatch.setattr(loss_module, "MAX_CHUNK_VOCABULARY", {"cpu": 24})
    model = tiny.model.to(torch.bfloat16)
    head = model.get_output_embeddings().weight
    torch.manual_seed(0)
    targets = torch.randint(0, 64, (50,))
    hidden = (head[targets] * scale / head[targets].norm(dim=1, keepdim=True) ** 2).detach()
    hidden.requires_grad_()
    losses = compute_token_losses(model, hidden, targets)
    (mine,) = torch.autograd.grad(losses.sum(), hidden)
    exact = hidden.detach().double().requires_grad_()
    expected = cross_entropy(exact @ head.double().T, targets, reduction="none")
    (wanted,) = torch.autograd.grad(expected.sum(), exact)
    if scale > 1:
        assert expected.median() < 1e-3, "the targets are nearly certain"
    assert (mine.double() - wanted).norm(dim=1).div(wanted.norm(dim=1)).median() < 0.05
    assert (losses.double() - expected).abs().div(expected).median() < 0.05


def test_loss_without_gradient_keeps_no_graph(tiny: LoadedModel) -> None:
    hidden = torch.randn(3, 32, requires_grad=True)
    with torch.no_grad():
        assert not compute_token_losses(
            tiny.model, hidden, torch.zeros(3, dtype=torch.long)
        ).requires_grad


@given(examples=st.integers(1, 40), batch_size=st.integers(1, 20), seed=st.integers(0, 99))
def test_an_epoch_holds_every_example_once_and_the_seed_decides_the_order(
    examples: int, batch_size: int, seed: int
) -> None:
    steps = -(-examples // batch_size)
    two_epochs = list(itertools.islice(iterate_batches(examples, batch_size, seed), 2 * steps))
    for epoch in (two_epochs[:steps], two_epochs[steps:]):
        assert sorted(itertools.chain(*epoch)) == list(range(examples))
    assert two_epochs == list(
        itertools.islice(iterate_batches(examples, batch_size, seed), 2 * steps)
    )


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = itertools.islice(iterate_batches(50, 50, 0), 2)
    assert first != second
    assert first != next(iterate_batches(50, 50, 1))


@given(
    rows=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=30), min_size=1, max_size=24),
    most_examples=st.integers(1, 30),
    most_tokens=st.integers(1, 200),
    as_forest=st.booleans(),
)
def test_micro_batches_hold_the_whole_step_within_the_limits(
    rows: list[list[int]], most_examples: int, most_tokens: int, as_forest: bool
) -> None:
    arrays = TokenArrays(
        np.concatenate([np.array(row, np.int32) for row in rows]),
        np.ones(sum(map(len, rows)), np.float32),
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
    )
    read = [row[: max(1, len(row) - 1)] for row in rows]
    pieces = split_into_micro_batches(
        arrays, range(len(rows)), most_examples, most_tokens, as_forest=as_forest
    )
    assert sorted(itertools.chain(*pieces)) == list(range(len(rows)))
    for piece in pieces:
        assert len(piece) <= most_examples
        if len(piece) > 1 and as_forest:
            forest = build_forest([np.array(read[e], np.int32) for e in piece], min_saved=1)
            assert len(forest) <= most_tokens
        elif len(piece) > 1:
            assert len(piece) * max(len(read[e]) for e in piece) <= most_tokens


def test_examples_that_share_most_stand_together(arrays_of: ArraysOf) -> None:
    long, other = list(range(10, 40)), list(range(40, 60))
    arrays = arrays_of(
        [([*begin, end], [0.0] * len(begin) + [1.0]) for end in (3, 4) for begin in (long, other)]
    )
    assert split_into_micro_batches(arrays, range(4), 99, 40, as_forest=True) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("as_forest", [True, False])
def test_collate_predicts_each_trained_token_from_the_position_before_it(
    arrays_of: ArraysOf, as_forest: bool
) -> None:
    head = list(range(3, 23))
    arrays = arrays_of(
        [([*head, 30, 31, 2], [0.0] * 21 + [1, 0.5]), ([*head, 30, 2], [0.0] * 21 + [1])]
    )
    batch = collate(arrays, [0, 1], torch.device("cpu"), as_forest=as_forest)
    said = batch.tokens_BT.flatten()[batch.indices_U][batch.prediction_K].tolist()
    assert said == [30, 31, 30]
    assert batch.targets_U[batch.prediction_K].tolist() == [31, 2, 2]
    assert batch.sequence_K.tolist() == [0, 0, 1] and batch.weight_K.tolist() == [1.0, 0.5, 1.0]
    assert batch.tokens_BT.shape == (
        (1, 22) if as_forest else (2, 22)
    )  # 2 is predicted and not read, 31 is read once


@pytest.mark.parametrize("as_forest", [True, False])
def test_what_stands_behind_the_last_trained_token_is_not_read(
    arrays_of: ArraysOf, as_forest: bool
) -> None:
    arrays = arrays_of([([3, 4, 5, 6, 7, 8], [0, 0, 1, 0, 0, 0]), ([9, 10, 11], [0.0] * 3)])
    batch = collate(arrays, [0, 1], torch.device("cpu"), as_forest=as_forest)
    assert sorted(batch.tokens_BT.flatten().tolist()) == ([3, 4, 9] if as_forest else [0, 3, 4, 9])
    assert batch.targets_U.tolist() == [5]


def test_a_prediction_that_sequences_share_is_made_once_and_counts_for_each(
    arrays_of: ArraysOf,
) -> None:
    row = (list(range(3, 30)), [0.0] * 20 + [1.0] * 7)
    batch = collate(arrays_of([row, row]), [0, 1], torch.device("cpu"), as_forest=True)
    assert (
        len(batch.targets_U) == 7
        and len(batch.prediction_K) == 14
        and batch.tokens_BT.shape == (1, 26)
    )


def gradient_of(
    loaded: LoadedModel, stepper: TrainingStep, arrays: TokenArrays
) -> tuple[float, torch.Tensor]:
    loaded.model.zero_grad()
    loss = stepper.backward(arrays, range(len(arrays)), 1)
    return loss, torch.cat([weight.grad.flatten() for weight in list_lora_parameters(loaded.model)])


@pytest.fixture
def adapted(tiny: LoadedModel) -> LoadedModel:
    torch.manual_seed(0)
    attach_lora(tiny.model, rank=4, alpha=8.0, dropout=0.0)
    with torch.no_grad():
        for weight in list_lora_parameters(tiny.model):
            weight.normal_(std=0.1)
    return tiny


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 7])
def test_pain_9_gradient_accumulation_does_not_change_the_loss(
    adapted: LoadedModel, task: Callable[..., TokenArrays], micro_batch: int
) -> None:
    """trl#2175, transformers#34191: micro-batches with unequal numbers of trained tokens must not
    be averaged."""
    arrays = task(8)
    assert len({float(arrays.get_sequence(e)[1].sum()) for e in range(8)}) > 1
    loss, gradient = gradient_of(
        adapted, TrainingStep(adapted, Sft(), MemoryPlan(max_examples=micro_batch)), arrays
    )
    whole_loss, whole_gradient = gradient_of(adapted, TrainingStep(adapted, Sft()), arrays)
    assert_close_within_rounding(loss, whole_loss, LOSS_TERMS)
    assert_close_within_rounding(gradient, whole_gradient)


def test_a_forest_changes_neither_loss_nor_gradient(
    adapted: LoadedModel, task: Callable[..., TokenArrays]
) -> None:
    arrays = task(8)
    together, apart = TrainingStep(adapted, Sft()), TrainingStep(adapted, Sft())
    assert together.no_forest_reason is None
    apart.no_forest_reason = "to compare"
    loss, gradient = gradient_of(adapted, together, arrays)
    plain_loss, plain_gradient = gradient_of(adapted, apart, arrays)
    assert_close_within_rounding(loss, plain_loss, LOSS_TERMS)
    assert_close_within_rounding(gradient, plain_gradient)


@pytest.mark.parametrize("family", [BartConfig, MBartConfig])
def test_positions_that_a_model_counts_itself_allow_no_forest(
    family: type[PretrainedConfig],
) -> None:
    """Tokens that both probes share, and the first branch, are right there all the same: only the
    second is not.

    Such folders are refused by `load_model` now, for a reason of their own; the probe has to see it
    without that.
    """
    torch.manual_seed(0)
    config = family(
        vocab_size=64,
        d_model=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        dropout=0.0,
        max_position_embeddings=128,
        is_decoder=True,
        is_encoder_decoder=False,
        tie_word_embeddings=True,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    assert find_no_forest_reason(model, 32) == NOT_PLAIN_REASON
