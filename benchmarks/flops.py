"""Useful floating-point operations: what the mathematics of a LoRA step, or of answers, needs,
however it is computed.

Counted per step, with the prefix forest of the whole step (a token that examples share at their
beginning counts once):

    frozen linear layers   (2 forward + 2 gradient of the input) * weights          per token
    LoRA                   (2 forward + 4 backward) * rank * (inputs + outputs)      per token
    attention  (4 forward + 8 backward) * head size * query heads  per layer and attended pair
    output head  (2 forward + 2 gradient of the hidden state) * weights  per trained position

A token's attended pairs are itself and all before it in its example. The last token of an example
predicts nothing and is not counted. Not counted either: norms, activations, rotations, the softmax,
the optimizer, and anything computed twice (checkpointing, a prefix repeated in several
micro-batches). The gradient of the first layer's inputs to q, k and v is counted although nothing
needs it (0.3 % on SmolLM2-135M).

Answers are the forward products alone: prompts and new tokens as one forest, the head for each new
token.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.jobs import RANK


@dataclass(frozen=True)
class Shape:
    """What of a Llama-like model's shape the count needs: all its linear layers as (inputs,
    outputs)."""

    layers: int
    linears: tuple[tuple[int, int], ...]
    head_size: int
    query_heads: int
    hidden: int
    vocabulary: int

    @classmethod
    def of(cls, model: Path) -> "Shape":
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        hidden, inner, heads = (
            config["hidden_size"],
            config["intermediate_size"],
            config["num_attention_heads"],
        )
        head_size = config.get("head_dim") or hidden // heads
        query, key = heads * head_size, config["num_key_value_heads"] * head_size
        linears = (
            (hidden, query),
            (hidden, key),
            (hidden, key),
            (query, hidden),
            (hidden, inner),
            (hidden, inner),
            (inner, hidden),
        )
        return cls(
            config["num_hidden_layers"], linears, head_size, heads, hidden, config["vocab_size"]
        )

    def step(self, forest: "ForestSize", *, trains_all: bool = False) -> int:
        """Operations of a step; `trains_all`: full fine-tuning, whose weights need a gradient as
        well."""
        weights = sum(i * o for i, o in self.linears)
        if trains_all:
            per_token, head = 6 * weights, 6
        else:
            per_token, head = 4 * weights + 6 * RANK * sum(i + o for i, o in self.linears), 4
        return self._of(forest, per_token, per_pair=12, head=head)

    def answers(self, forest: "ForestSize") -> int:
        """Operations of answers: of the forest of all prompts, each with its answer as the trained
        part."""
        return self._of(forest, 2 * sum(i * o for i, o in self.linears), per_pair=4, head=2)

    def _of(self, forest: "ForestSize", per_token: int, *, per_pair: int, head: int) -> int:
        attention = per_pair * self.head_size * self.query_heads * forest.pairs
        return (
            self.layers * (per_token * forest.tokens + attention)
            + head * self.hidden * self.vocabulary * forest.predicted
        )


@dataclass(frozen=True)
class ForestSize:
    """`tokens` once each, attended `pairs`, distinct trained (position, token) predictions."""

    tokens: int
    pairs: int
    predicted: int


def forest_size(sequences: Iterable[tuple[list[int], list[int]]]) -> ForestSize:
    """Of the prefix forest of a step's (token ids, mask); a node of it is a prefix that some
    sequence begins with."""
    nodes: dict[tuple[int, int], int] = {}
    depth: dict[int, int] = {}
    predicted: set[int] = set()
    for tokens, mask in sequences:
        node = 0
        for t, (token, is_trained) in enumerate(zip(tokens, mask, strict=True)):
            node = nodes.setdefault((node, token), len(nodes) + 1)
            if is_trained:
                predicted.add(node)
            if t < len(tokens) - 1:  # the last token predicts nothing
                depth[node] = t + 1
    return ForestSize(len(depth), sum(depth.values()), len(predicted))
