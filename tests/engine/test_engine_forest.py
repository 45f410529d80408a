"""A prefix forest holds every sequence exactly, and its attention is that of the sequences one by
one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from tunesmith.engine.attention import attention_plan, cpu, flex, node_groups
from tunesmith.engine.prefix_forest import Forest, build_forest
from tunesmith.testing.rounding_tolerance import assert_close_within_rounding

some_sequences = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=40), min_size=1, max_size=10
)


def arrays(rows: list[list[int]]) -> list[np.ndarray]:
    return [np.array(row, np.int32) for row in rows]


@given(rows=some_sequences, least_saved=st.integers(1, 20))
def test_pain_22_every_sequence_stands_in_the_forest_and_sees_itself_alone(
    rows: list[list[int]], least_saved: int
) -> None:
    forest = build_forest(arrays(rows), least_saved)
    for row, places in zip(rows, forest.token_indices, strict=True):
        assert forest.tokens_N[places].tolist() == row
        assert forest.positions_N[places].tolist() == list(range(len(row)))
        last = int(places[-1])
        visible = [j for j in range(len(forest)) if j <= last < forest.end_N[j]]
        assert visible == places.tolist()


@given(rows=some_sequences)
def test_with_no_threshold_nothing_that_is_shared_stands_twice(rows: list[list[int]]) -> None:
    beginnings = {tuple(row[:length]) for row in rows for length in range(1, len(row) + 1)}
    assert len(build_forest(arrays(rows), min_saved=1)) == len(beginnings)


@given(rows=some_sequences)
def test_the_order_of_the_sequences_changes_nothing_but_their_numbers(
    rows: list[list[int]],
) -> None:
    forward, backward = build_forest(arrays(rows)), build_forest(arrays(rows[::-1]))
    assert forward.tokens_N.tolist() == backward.tokens_N.tolist()
    assert forward.end_N.tolist() == backward.end_N.tolist()


def dense(q_NHd: Tensor, k_NGd: Tensor, v_NGd: Tensor, forest: Forest, scale: float) -> Tensor:
    """The rule written down: all N x N scores, masked."""
    i, j = torch.arange(len(forest))[:, None], torch.arange(len(forest))[None, :]
    may_NN = (j <= i) & (i < torch.from_numpy(forest.end_N)[None, :])
    group = q_NHd.shape[1] // k_NGd.shape[1]
    k_NHd, v_NHd = k_NGd.repeat_interleave(group, 1), v_NGd.repeat_interleave(group, 1)
    scores_HNN = torch.einsum("ihd,jhd->hij", q_NHd * scale, k_NHd).masked_fill(
        ~may_NN, float("-inf")
    )
    return torch.einsum("hij,jhd->ihd", scores_HNN.softmax(-1), v_NHd)


def varied_forest(seed: int) -> Forest:
    """Shared beginnings on two levels, short and long branches, a sequence longer than a bundle's
    longest node."""
    random = np.random.default_rng(seed)
    begin = random.integers(0, 9, 30)
    middle = [np.concatenate([begin, random.integers(0, 9, 20)]) for _ in range(2)]
    rows = [
        np.concatenate([middle[k % 2], random.integers(0, 9, random.integers(1, 60))])
        for k in range(6)
    ]
    rows += [random.integers(0, 9, 2 * node_groups.MAX_NODE_TOKENS + 7), begin[:11], begin]
    return build_forest([row.astype(np.int32) for row in rows])


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("longest_kept", [0, 10_000])
@pytest.mark.parametrize("repeated", [0, 10_000])
def test_products_over_bundles_are_the_rule(
    heads: tuple[int, int], longest_kept: int, repeated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weights kept and made again, and with the way from the root apart and joined."""
    monkeypatch.setattr(node_groups, "MAX_SAVED_PREFIX_TOKENS", longest_kept)
    monkeypatch.setattr(node_groups, "MAX_PREFIX_RATIO", repeated)
    forest = varied_forest(0)
    assert any(
        not bundle.is_concatenated for bundle in attention_plan.plan_attention(forest).node_groups
    ) == (repeated == 0)
    torch.manual_seed(0)
    parts = [
        torch.randn(len(forest), h, 8, dtype=torch.float64, requires_grad=True)
        for h in (heads[0], *heads[1:] * 2)
    ]
    upstream = torch.randn(len(forest), heads[0], 8, dtype=torch.float64)
    mine, expected = (
        cpu.attend(*parts, attention_plan.plan_attention(forest), 0.3),
        dense(*parts, forest, 0.3),
    )
    assert_close_within_rounding(mine, expected)
    for ours, theirs in zip(
        torch.autograd.grad(mine, parts, upstream),
        torch.autograd.grad(expected, parts, upstream),
        strict=True,
    ):
        assert_close_within_rounding(ours, theirs)


def test_the_block_mask_of_flex_attention_is_the_rule() -> None:
    forest = varied_forest(1)
    torch.manual_seed(0)
    parts = [torch.randn(len(forest), h, 16) for h in (4, 2, 2)]
    mine = flex.attend(*parts, flex.ForestBlockMask(forest, torch.device("cpu")), 0.3)
    assert_close_within_rounding(mine, dense(*parts, forest, 0.3))


@given(rows=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=60), min_size=1, max_size=12))
def test_blocks_are_those_that_looking_at_every_pair_finds(rows: list[list[int]]) -> None:
    forest = build_forest(arrays(rows), min_saved=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flex, "BLOCK_TOKENS", 16)
        mine = flex.ForestBlockMask(forest, torch.device("cpu")).get_block_mask(1)
    N = len(forest)
    theirs = create_block_mask(mine.mask_mod, None, None, N, N, device="cpu", BLOCK_SIZE=16)
    assert torch.equal(mine.to_dense(), theirs.to_dense())
    assert listed(mine.kv_num_blocks, mine.kv_indices) == listed(
        theirs.kv_num_blocks, theirs.kv_indices
    )
    assert listed(mine.full_kv_num_blocks, mine.full_kv_indices) == listed(
        theirs.full_kv_num_blocks, theirs.full_kv_indices
    )


def listed(counts: Tensor, indices: Tensor) -> list[list[int]]:
    """The blocks of keys of each block of queries."""
    return [row[:count].tolist() for count, row in zip(counts[0, 0], indices[0, 0], strict=True)]


def test_attention_costs_what_the_attended_pairs_cost() -> None:
    """32 branches of 25 tokens over 600 shared ones: no square of all tokens anywhere."""
    random = np.random.default_rng(0)
    shared = random.integers(0, 99, 600)
    forest = build_forest(
        [np.concatenate([shared, random.integers(0, 99, 25)]).astype(np.int32) for _ in range(32)]
    )
    plan = attention_plan.plan_attention(forest)
    parts = plan.get_gather_index(1, 1, torch.float32).parts
    scores = sum(
        part.products * part.mask.numel()
        + part.mask.shape[0] * part.products * (part.prefix.stop - part.prefix.start)
        for part in parts
    )
    pairs = sum(len(places) * (len(places) + 1) // 2 for places in ([*range(600)],)) + 32 * (
        25 * 600 + 25 * 13
    )
    assert pairs <= scores <= 1.25 * pairs
