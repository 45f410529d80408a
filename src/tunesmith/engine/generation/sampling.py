"""Choice of the next token of each sequence: greedy or sampled, under a constraint if there is one.

Greedy:   argmax_v logits_v Sampled:  the smallest set of most likely tokens that together have
probability `top_p` at this temperature, sampled by
          inverting its distribution at one number of the sequence's own random generator
          (arXiv:1904.09751). So an answer depends on its seed and its prompt, never on the other
          sequences of the batch.

Reported log-probabilities are the model's own: temperature 1, before any constraint.

Shapes: B sequences, V vocabulary.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tunesmith.engine.lm_head import compute_logits
from tunesmith.errors import UsageError
from tunesmith.records import Sampling

MAX_CHUNK_SEQUENCES = 32
"""Sequences whose full distributions are processed at once: sorting one of 50,000 tokens takes
about a megabyte.
"""

Constraint = Callable[[Sequence[int]], Sequence[int] | Tensor | None]
"""The tokens of an answer so far -> the ids that may come next, or a bool mask of them (ids past
its end are not allowed); None: no restriction."""


@dataclass
class SequenceState:
    """An answer in progress. `prompt`: its index. `log_probabilities`: in nats, None when they are
    not requested.
    """

    prompt: int
    sampling: Sampling
    constraint: Constraint | None = None
    log_probabilities: list[float] | None = None
    tokens: list[int] = field(default_factory=list)
    is_finished: bool = False
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.sampling.seed)

    def strip_stop_token(self, stop_ids: set[int]) -> None:
        """Remove a stop token at the end, if there is one; the answer is then finished."""
        if self.tokens[-1] in stop_ids:
            self.tokens.pop()
            self.is_finished = True

    @property
    def is_plain_greedy(self) -> bool:
        """Whether the argmax of the logits suffices: no sampling, no constraint, no
        log-probabilities.
        """
        return (
            self.sampling.temperature == 0
            and self.constraint is None
            and self.log_probabilities is None
        )


def append_tokens(
    model: PreTrainedModel, hidden_BD: Tensor, sequences: Sequence[SequenceState]
) -> None:
    """Append the next token to every sequence.

    Errors: `UsageError` when a constraint allows none.
    """
    if all(row.is_plain_greedy for row in sequences):
        # Scale and softcap keep the order, so the raw head output is enough. `max` in half
        # precision is six times faster than `argmax` on a CPU.
        next_B = model.get_output_embeddings()(hidden_BD).max(-1).indices
    else:
        cuts = range(0, len(sequences), MAX_CHUNK_SEQUENCES)
        next_B = torch.cat(
            [
                _choose_next_tokens(
                    model,
                    hidden_BD[at : at + MAX_CHUNK_SEQUENCES],
                    sequences[at : at + MAX_CHUNK_SEQUENCES],
                )
                for at in cuts
            ]
        )
    for row, token in zip(sequences, next_B.tolist(), strict=True):
        row.tokens.append(token)


def _choose_next_tokens(
    model: PreTrainedModel, hidden_BD: Tensor, sequences: Sequence[SequenceState]
) -> Tensor:
    """The next token of each sequence, B, with sampling, constraints and log-probabilities."""
    logits_BV = compute_logits(model, hidden_BD)
    next_B = _select_tokens(_apply_constraints(logits_BV, sequences), sequences)
    _record_log_probabilities(logits_BV, next_B, sequences)
    return next_B


def _apply_constraints(logits_BV: Tensor, sequences: Sequence[SequenceState]) -> Tensor:
    if all(row.constraint is None for row in sequences):
        return logits_BV
    forbidden_BV = torch.zeros_like(logits_BV, dtype=torch.bool)
    for b, row in enumerate(sequences):
        allowed = None if row.constraint is None else row.constraint(tuple(row.tokens))
        if allowed is None:
            continue
        forbidden_BV[b] = True
        if isinstance(allowed, Tensor):
            # The tokenizer and the model may differ in vocabulary size; ids without a mask entry
            # stay forbidden.
            mask_V = allowed[: logits_BV.shape[1]].to(logits_BV.device)
            forbidden_BV[b, : len(mask_V)] = ~mask_V
            is_stuck = not bool(mask_V.any())
        else:
            forbidden_BV[
                b, torch.tensor(list(allowed), dtype=torch.long, device=logits_BV.device)
            ] = False
            is_stuck = not len(allowed)
        if is_stuck:
            raise UsageError(
                "nothing-allowed",
                "constraint allows no next token",
                got=f"after {row.tokens}",
                hint="allow a stop token where an answer may end",
            )
    return logits_BV.masked_fill(forbidden_BV, float("-inf"))


def _select_tokens(logits_BV: Tensor, sequences: Sequence[SequenceState]) -> Tensor:
    next_B = logits_BV.max(-1).indices
    drawn = [b for b, row in enumerate(sequences) if row.sampling.temperature > 0]
    if drawn:
        next_B[drawn] = sample_tokens(
            logits_BV[drawn],
            [sequences[b].sampling for b in drawn],
            [sequences[b].random for b in drawn],
        )
    return next_B


def sample_tokens(
    logits_BV: Tensor, samplings: Sequence[Sampling], sources: Sequence[random.Random]
) -> Tensor:
    """Sample one token per sequence, B, each from its own nucleus with its own random generator."""
    device = logits_BV.device
    temperature_B1 = torch.tensor([[sampling.temperature] for sampling in samplings], device=device)
    top_p_B1 = torch.tensor([[sampling.top_p] for sampling in samplings], device=device)
    # One number per sequence, always from its own generator: the batch cannot influence the answer.
    uniform_B1 = torch.tensor([[source.random()] for source in sources], device=device)
    likeliest_BV, order_BV = (
        (logits_BV / temperature_B1).softmax(-1).sort(descending=True, stable=True)
    )
    # A token belongs to the nucleus if the probability before it is below `top_p`, so the first one
    # always does.
    before_BV = likeliest_BV.cumsum(-1) - likeliest_BV
    up_to_BV = likeliest_BV.masked_fill_(before_BV >= top_p_B1, 0.0).cumsum(-1)
    at_B1 = torch.searchsorted(up_to_BV, uniform_B1 * up_to_BV[:, -1:], right=True)
    # Rounding may put the sampled point past the last token of the nucleus.
    last_B1 = (likeliest_BV > 0).sum(-1, keepdim=True) - 1
    return order_BV.gather(1, at_B1.minimum(last_B1))[:, 0]


def _record_log_probabilities(
    logits_BV: Tensor, next_B: Tensor, sequences: Sequence[SequenceState]
) -> None:
    asked = [b for b, row in enumerate(sequences) if row.log_probabilities is not None]
    if not asked:
        return
    logits_AV = logits_BV[asked]
    found_A = logits_AV.gather(1, next_B[asked, None])[:, 0] - logits_AV.logsumexp(-1)
    for b, value in zip(asked, found_A.tolist(), strict=True):
        noted = sequences[b].log_probabilities
        if noted is not None:
            noted.append(value)
