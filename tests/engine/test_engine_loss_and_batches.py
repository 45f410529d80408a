"""The loss in pieces, the cut of a step into micro-batches, and what may be shared."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from tunesmith.engine.adapters.lora import attach_lora, lora_parameters
from tunesmith.engine.batches import PIECE_COST_TOKENS, batches, collate, micro_batches, shared_length
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.loss import POSITIONS_AT_ONCE, token_loss
from tunesmith.engine.step import Stepper
from tunesmith.records import TokenArrays

Rows = list[tuple[list[int], list[float]]]
ArraysOf = Callable[[Rows], TokenArrays]


@pytest.mark.parametrize("positions", [1, POSITIONS_AT_ONCE, POSITIONS_AT_ONCE + 1, 3 * POSITIONS_AT_ONCE - 5])
def test_loss_and_gradient_are_those_of_the_whole_matrix(positions: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(positions, 16, dtype=torch.float64, requires_grad=True)
    whole = hidden.detach().clone().requires_grad_()
    targets, weights = torch.randint(0, 50, (positions,)), torch.rand(positions, dtype=torch.float64)
    head = torch.randn(16, 50, dtype=torch.float64)
    total, count = token_loss(hidden, targets, weights, lambda piece: piece @ head)
    (total / count).backward()
    expected = (cross_entropy(whole @ head, targets, reduction="none") * weights).sum() / weights.sum()
    expected.backward()
    assert float(total.detach()) / count == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(hidden.grad, whole.grad)


def test_loss_without_gradient_keeps_no_graph() -> None:
    hidden = torch.randn(3, 4, requires_grad=True)
    with torch.no_grad():
        total, count = token_loss(hidden, torch.zeros(3, dtype=torch.long), torch.ones(3), lambda piece: piece)
    assert not total.requires_grad and count == 3.0


@given(examples=st.integers(1, 40), batch_size=st.integers(1, 20), seed=st.integers(0, 99))
def test_an_epoch_holds_every_example_once_and_the_seed_decides_the_order(
    examples: int, batch_size: int, seed: int
) -> None:
    steps = -(-examples // batch_size)
    two_epochs = list(itertools.islice(batches(examples, batch_size, seed), 2 * steps))
    for epoch in (two_epochs[:steps], two_epochs[steps:]):
        assert sorted(itertools.chain(*epoch)) == list(range(examples))
    assert two_epochs == list(itertools.islice(batches(examples, batch_size, seed), 2 * steps))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = itertools.islice(batches(50, 50, 0), 2)
    assert first != second
    assert first != next(batches(50, 50, 1))


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=24),
    most_rows=st.integers(1, 30),
    most_tokens=st.integers(1, 300),
)
def test_micro_batches_hold_the_whole_step_within_the_limits(
    lengths: list[int], most_rows: int, most_tokens: int
) -> None:
    arrays = TokenArrays(
        np.zeros(sum(lengths), np.int32), np.zeros(sum(lengths), np.float32), np.cumsum([0, *lengths]).astype(np.int64)
    )
    pieces = micro_batches(arrays, range(len(lengths)), most_rows, most_tokens)
    assert sorted(itertools.chain(*pieces)) == list(range(len(lengths)))
    for piece in pieces:
        longest = max(lengths[e] for e in piece)
        assert len(piece) <= most_rows
        assert len(piece) == 1 or len(piece) * longest <= most_tokens


def test_pain_16_the_longest_examples_of_a_step_come_first(task: Callable[..., TokenArrays]) -> None:
    """Memory that does not suffice shows at the first micro-batch, not after most of the step is done."""
    arrays = task(20)
    lengths = np.diff(arrays.starts_E1)
    pieces = micro_batches(arrays, range(20), 3, 1000)
    longest = [max(lengths[e] for e in piece) for piece in pieces]
    assert len(pieces) >= 7 and longest == sorted(longest, reverse=True)


def test_collate_predicts_each_trained_token_from_the_position_before_it(arrays_of: ArraysOf) -> None:
    head = [1, 3, 4, 5, 6]
    arrays = arrays_of([([*head, 20, 21, 2], [0] * 6 + [1, 0.5]), ([*head, 30, 2], [0] * 6 + [1])])
    batch = collate(arrays, [0, 1], torch.device("cpu"), can_share=True)
    assert batch.shared_S.tolist() == head
    assert batch.tokens_BT.tolist() == [[20, 21, 2], [30, 2, 0]]
    assert list(zip(batch.rows_N.tolist(), batch.columns_N.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]
    assert batch.targets_N.tolist() == [21, 2, 2]
    assert batch.weights_N.tolist() == [1.0, 0.5, 1.0]


tokens_and_weights = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.0, 0.0, 1.0])), min_size=1, max_size=14
)


@given(rows=st.lists(tokens_and_weights, min_size=1, max_size=5))
def test_nothing_trained_is_predicted_from_the_shared_beginning(rows: list[list[tuple[int, float]]]) -> None:
    head = [(9, 0.0)] * 5
    parts = [(np.array([t for t, _ in head + row]), np.array([w for _, w in head + row])) for row in rows]
    shared = shared_length(parts)
    for tokens, weights in parts:
        assert (tokens[:shared] == parts[0][0][:shared]).all()
        assert shared < len(tokens)
        assert not (weights[: shared + 1] > 0).any()


def gradient_of(loaded: LoadedModel, stepper: Stepper, arrays: TokenArrays) -> tuple[float, torch.Tensor]:
    loaded.model.zero_grad()
    loss = stepper.backward(arrays, range(len(arrays)), 1)
    return loss, torch.cat([weight.grad.flatten() for weight in lora_parameters(loaded.model)])


@pytest.fixture
def adapted(tiny: LoadedModel) -> LoadedModel:
    torch.manual_seed(0)
    attach_lora(tiny.model, rank=4, alpha=8.0, dropout=0.0)
    with torch.no_grad():
        for weight in lora_parameters(tiny.model):
            weight.normal_(std=0.1)
    return tiny


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 7])
def test_pain_9_gradient_accumulation_does_not_change_the_loss(
    adapted: LoadedModel, task: Callable[..., TokenArrays], micro_batch: int
) -> None:
    """trl#2175, transformers#34191: micro-batches with unequal numbers of trained tokens must not be averaged."""
    arrays = task(8)
    assert len({float(arrays.example(e)[1].sum()) for e in range(8)}) > 1
    loss, gradient = gradient_of(adapted, Stepper(adapted, micro_batch), arrays)
    whole_loss, whole_gradient = gradient_of(adapted, Stepper(adapted, 8), arrays)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    torch.testing.assert_close(gradient, whole_gradient, rtol=1e-3, atol=1e-6)


def test_a_shared_beginning_changes_neither_loss_nor_gradient(
    adapted: LoadedModel, task: Callable[..., TokenArrays]
) -> None:
    arrays = task(8)
    together, apart = Stepper(adapted, 8), Stepper(adapted, 8)
    assert together.can_share and len(collate(arrays, range(8), adapted.device, can_share=True).shared_S) == 6
    apart.can_share = False
    loss, gradient = gradient_of(adapted, together, arrays)
    plain_loss, plain_gradient = gradient_of(adapted, apart, arrays)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    torch.testing.assert_close(gradient, plain_gradient, rtol=1e-3, atol=1e-6)


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=9), most_tokens=st.integers(1, 900))
def test_no_other_cut_is_cheaper(lengths: list[int], most_tokens: int) -> None:
    """Against every way to cut the sorted examples."""
    arrays = TokenArrays(
        np.zeros(sum(lengths), np.int32), np.zeros(sum(lengths), np.float32), np.cumsum([0, *lengths]).astype(np.int64)
    )
    ordered = sorted(lengths, reverse=True)

    def cost(pieces: list[list[int]]) -> int:
        return sum(PIECE_COST_TOKENS + len(piece) * max(piece) for piece in pieces)

    possible = []
    for cuts in itertools.product([False, True], repeat=len(ordered) - 1):
        edges = [0, *(at + 1 for at, is_cut in enumerate(cuts) if is_cut), len(ordered)]
        pieces = [ordered[begin:end] for begin, end in itertools.pairwise(edges)]
        if all(len(piece) == 1 or len(piece) * max(piece) <= most_tokens for piece in pieces):
            possible.append(cost(pieces))
    ours = [[lengths[e] for e in piece] for piece in micro_batches(arrays, range(len(lengths)), 99, most_tokens)]
    assert cost(ours) == min(possible)
