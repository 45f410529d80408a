"""What every training method promises, as tests. Subclass it, implement `make_method`, let pytest
collect the class:

class TestMyMethod(MethodConformance):
    def make_method(self): return MyMethod()
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tunesmith.engine.methods.training_method import StepTotals, TokenLogprobs, TrainingMethod
from tunesmith.records.method_specs import RATING_COLUMN

NUM_EXAMPLES = 6
MAX_TOKENS = 30


class MethodConformance:
    """The contract: partial losses of micro-batches add up, every answer moves in the right
    direction, extreme numbers stay finite.

    `context` stands for what the method's `compute_step_context` returns.
    """

    context: Any = None

    def make_method(self) -> TrainingMethod:
        raise NotImplementedError

    def make_logprobs(self, seed: int = 0) -> TokenLogprobs:
        """Answers of 1 to 30 tokens, about 2 nats for each token, in float64."""
        sequences = NUM_EXAMPLES * self.make_method().sequences_per_example
        random = torch.Generator().manual_seed(seed)
        counts_S = torch.randint(1, MAX_TOKENS, (sequences,), generator=random)
        each_K = torch.rand(2, int(counts_S.sum()), generator=random).double() * 3 + 0.5
        logprobs = TokenLogprobs(
            logps_K=(-each_K[0]).requires_grad_(),
            weights_K=torch.ones(len(each_K[0])).double(),
            sequence_K=torch.arange(sequences).repeat_interleave(counts_S),
            sequences=sequences,
            columns_E={RATING_COLUMN: torch.arange(NUM_EXAMPLES) % 2 == 0},
        )
        return with_reference(logprobs, -each_K[1])

    def make_totals(self, logprobs: TokenLogprobs) -> StepTotals:
        firsts_E = logprobs.weights_S[:: self.make_method().sequences_per_example]
        return StepTotals(NUM_EXAMPLES, float(firsts_E.sum()), self.context)

    @pytest.mark.parametrize("cut", [1, 3, 5])
    def test_the_shares_of_micro_batches_add_up_to_the_loss(self, cut: int) -> None:
        method, logprobs = self.make_method(), self.make_logprobs()
        totals = self.make_totals(logprobs)
        shares = [
            method.compute_loss(slice_logprobs(logprobs, part, method), totals)
            for part in (slice(0, cut), slice(cut, None))
        ]
        # In float64: only the order of summation may differ.
        torch.testing.assert_close(
            sum(shares), method.compute_loss(logprobs, totals), rtol=1e-12, atol=1e-12
        )

    def test_the_first_step_makes_wanted_answers_likelier_and_others_less_likely(self) -> None:
        """The first step, where the model equals its reference: later a method may correct in the
        other direction (IPO).
        """
        method, logprobs = self.make_method(), self.make_logprobs()
        logprobs = with_reference(logprobs, logprobs.logps_K.detach())
        loss = method.compute_loss(logprobs, self.make_totals(logprobs))
        (gradient_K,) = torch.autograd.grad(loss, logprobs.logps_K)
        is_desirable_K = is_desirable_S(logprobs, method)[logprobs.sequence_K]
        assert (gradient_K[is_desirable_K] <= 0).all() and (gradient_K < 0).any()
        assert (gradient_K[~is_desirable_K] >= 0).all()

    def test_extreme_numbers_stay_finite(self) -> None:
        method, logprobs = self.make_method(), self.make_logprobs()
        # Probability 1, and one that underflows in float32.
        for logps_K in (
            torch.zeros_like(logprobs.logps_K),
            torch.full_like(logprobs.logps_K, -1e4),
        ):
            extreme = replace(logprobs, logps_K=logps_K.detach().float().requires_grad_())
            loss = method.compute_loss(extreme, self.make_totals(logprobs))
            (gradient_K,) = torch.autograd.grad(loss, extreme.logps_K)
            assert torch.isfinite(loss) and torch.isfinite(gradient_K).all()

    def test_what_is_won_is_told_of_each_example(self) -> None:
        method, logprobs = self.make_method(), self.make_logprobs()
        is_won_E = method.is_preferred_E(logprobs, self.make_totals(logprobs))
        assert is_won_E is None or (
            is_won_E.dtype == torch.bool and is_won_E.shape == (NUM_EXAMPLES,)
        )


def with_reference(logprobs: TokenLogprobs, reference_K: Tensor) -> TokenLogprobs:
    """The log-probabilities with these of the reference model, for each token and summed."""
    reference_S = logprobs.sum_by_sequence(reference_K * logprobs.weights_K)
    return replace(logprobs, reference_K=reference_K, reference_S=reference_S)


def slice_logprobs(logprobs: TokenLogprobs, part: slice, method: TrainingMethod) -> TokenLogprobs:
    """The log-probabilities of some examples."""
    per_example = method.sequences_per_example
    first = (part.start or 0) * per_example
    end = logprobs.sequences if part.stop is None else part.stop * per_example
    is_inside_K = (logprobs.sequence_K >= first) & (logprobs.sequence_K < end)
    assert logprobs.reference_K is not None
    sliced = TokenLogprobs(
        logprobs.logps_K[is_inside_K],
        logprobs.weights_K[is_inside_K],
        logprobs.sequence_K[is_inside_K] - first,
        end - first,
        columns_E={name: column_E[part] for name, column_E in logprobs.columns_E.items()},
    )
    return with_reference(sliced, logprobs.reference_K[is_inside_K])


def is_desirable_S(logprobs: TokenLogprobs, method: TrainingMethod) -> Tensor:
    """For each sequence: of pairs the first one, of rated answers the desirable ones, otherwise
    all.
    """
    if method.sequences_per_example == 2:
        return torch.arange(logprobs.sequences) % 2 == 0
    ratings_E = logprobs.columns_E[RATING_COLUMN]
    return ratings_E if RATING_COLUMN in method.columns else torch.ones_like(ratings_E)
