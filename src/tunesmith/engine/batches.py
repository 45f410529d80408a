"""Which examples make a step, and how a step is cut into pieces that fit into memory.

An epoch is a seeded permutation of all examples, cut into batches; the last one may be smaller, nothing is dropped.
The examples of a step are sorted by length and cut into micro-batches, so that little is padded. Padding stands on the
right, where a causal model cannot see it from any trained position.

The examples of a micro-batch usually begin alike (the same system prompt). That beginning is computed once: see
`shared_length`. Issue 3 generalises it to a forest.

Shapes: B rows, T tokens of a row after the shared beginning, S shared tokens, N trained positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunesmith.records import TokenArrays

PIECE_COST_TOKENS = 150  # what one more pass through the layers costs, in tokens (SmolLM2-135M, 2 cores: 100 to 200)
WORTH_SHARING = 4  # a shorter beginning costs more in a second pass through the layers than it saves


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Token rows for one forward pass. `rows_N`, `columns_N` are where the model predicts `targets_N`."""

    examples: tuple[int, ...]
    shared_S: Tensor
    tokens_BT: Tensor
    rows_N: Tensor
    columns_N: Tensor
    targets_N: Tensor
    weights_N: Tensor


def batches(examples: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """Batches of example numbers without end, epoch after epoch."""
    order = np.random.default_rng(seed)
    while True:
        permutation = order.permutation(examples).tolist()
        for begin in range(0, examples, batch_size):
            yield permutation[begin : begin + batch_size]


def micro_batches(arrays: TokenArrays, batch: Sequence[int], most_rows: int, most_tokens: int) -> list[list[int]]:
    """Cut a batch, sorted by length, where padding plus the fixed cost of each piece is least; longest examples first.

    A piece has at most `most_rows` rows and `most_tokens` padded tokens; an example longer than that is alone.
    cost[j] = the least cost of the first j examples = min over i of cost[i] + PIECE_COST + (j - i) * length[i].
    """
    order = sorted(batch, key=lambda e: (int(arrays.starts_E1[e] - arrays.starts_E1[e + 1]), e))
    lengths = [int(arrays.starts_E1[e + 1] - arrays.starts_E1[e]) for e in order]
    cost, cut = [0], [0]
    for j in range(1, len(order) + 1):
        i = j - 1
        best = (cost[i] + PIECE_COST_TOKENS + lengths[i], i)
        while i > 0 and j - i < most_rows and (j - i + 1) * lengths[i - 1] <= most_tokens:
            i -= 1
            best = min(best, (cost[i] + PIECE_COST_TOKENS + (j - i) * lengths[i], i))
        cost.append(best[0])
        cut.append(best[1])
    pieces, end = [], len(order)
    while end:
        pieces.append(order[cut[end] : end])
        end = cut[end]
    return pieces[::-1]


def collate(arrays: TokenArrays, examples: Sequence[int], device: torch.device, *, can_share: bool) -> MicroBatch:
    """The tensors of one micro-batch."""
    rows = [arrays.example(e) for e in examples]
    shared = shared_length(rows) if can_share else 0
    longest = max(len(tokens) for tokens, _ in rows)
    tokens_BT = np.zeros((len(rows), longest), dtype=np.int64)
    weights_BT = np.zeros((len(rows), longest), dtype=np.float32)
    for row, (tokens, weights) in enumerate(rows):
        tokens_BT[row, : len(tokens)] = tokens
        weights_BT[row, 1 : len(tokens)] = weights[1:]
    at_row, at_column = np.nonzero(weights_BT)
    return MicroBatch(
        examples=tuple(examples),
        shared_S=torch.from_numpy(tokens_BT[0, :shared]).to(device),
        tokens_BT=torch.from_numpy(tokens_BT[:, shared:]).to(device),
        rows_N=torch.from_numpy(at_row).to(device),
        columns_N=torch.from_numpy(at_column - 1 - shared).to(device),  # token t is predicted at t - 1
        targets_N=torch.from_numpy(tokens_BT[at_row, at_column]).to(device),
        weights_N=torch.from_numpy(weights_BT[at_row, at_column]).to(device),
    )


def shared_length(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    """How many first tokens all rows share, none of which predicts a trained token; 0 when too few to be worth it."""
    if len(rows) < 2:
        return 0
    shortest = min(len(tokens) for tokens, _ in rows)
    heads_BT = np.stack([tokens[:shortest] for tokens, _ in rows])
    differs_T = (heads_BT != heads_BT[0]).any(axis=0)
    common = int(differs_T.argmax()) if differs_T.any() else shortest
    first_trained = min(int((weights > 0).argmax()) if (weights > 0).any() else len(weights) for _, weights in rows)
    shared = min(common, first_trained - 1, shortest - 1)
    return shared if shared >= WORTH_SHARING else 0
