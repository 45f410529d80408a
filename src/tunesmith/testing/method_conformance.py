"""What every training method promises, as tests. Subclass it, implement `make_method`, let pytest
collect the class:

class TestMyMethod(MethodConformance):
    def make_method(self): return MyMethod()
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tunesmith.engine.methods.training_method import SequenceLogprobs, StepTotals, TrainingMethod

NUM_EXAMPLES = 6


class MethodConformance:
    """The contract: partial losses of micro-batches add up, every answer moves in the right
    direction, extreme numbers stay finite.
    """

    def make_method(self) -> TrainingMethod:
        raise NotImplementedError

    def make_logprobs(self, seed: int = 0) -> SequenceLogprobs:
        """Answers of 1 to 30 tokens, about 2 nats each, in float64."""
        sequences = NUM_EXAMPLES * self.make_method().sequences_per_example
        random = torch.Generator().manual_seed(seed)
        weights_S = torch.randint(1, 30, (sequences,), generator=random).double()
        each_S = torch.rand(2, sequences, generator=random).double() * 3 + 0.5
        logps_S, reference_S = -each_S * weights_S
        return SequenceLogprobs(
            logps_S.requires_grad_(), weights_S, reference_S, torch.arange(NUM_EXAMPLES) % 2 == 0
        )

    def make_totals(self, scores: SequenceLogprobs) -> StepTotals:
        firsts_E = scores.weights_S[:: self.make_method().sequences_per_example]
        return StepTotals(NUM_EXAMPLES, float(firsts_E.sum()), kl=0.7)

    @pytest.mark.parametrize("cut", [1, 3, 5])
    def test_the_shares_of_micro_batches_add_up_to_the_loss(self, cut: int) -> None:
        method, scores = self.make_method(), self.make_logprobs()
        totals = self.make_totals(scores)
        shares = [
            method.compute_loss(slice_logprobs(scores, part, method), totals)
            for part in (slice(0, cut), slice(cut, None))
        ]
        # In float64: only the order of summation may differ.
        torch.testing.assert_close(
            sum(shares), method.compute_loss(scores, totals), rtol=1e-12, atol=1e-12
        )

    def test_the_first_step_makes_wanted_answers_likelier_and_others_less_likely(self) -> None:
        """The first step, where the model equals its reference: later a method may correct in the
        other direction (IPO).
        """
        method, scores = self.make_method(), self.make_logprobs()
        scores = replace(scores, reference_S=scores.logps_S.detach())
        (gradient_S,) = torch.autograd.grad(
            method.compute_loss(scores, self.make_totals(scores)), scores.logps_S
        )
        assert (gradient_S[is_desirable_S(scores, method)] <= 0).all() and (gradient_S < 0).any()
        assert (gradient_S[~is_desirable_S(scores, method)] >= 0).all()

    def test_extreme_numbers_stay_finite(self) -> None:
        method, scores = self.make_method(), self.make_logprobs()
        # Probability 1, and one that underflows in float32.
        for logps_S in (torch.zeros_like(scores.logps_S), torch.full_like(scores.logps_S, -1e4)):
            extreme = replace(scores, logps_S=logps_S.float().requires_grad_())
            loss = method.compute_loss(extreme, self.make_totals(scores))
            (gradient_S,) = torch.autograd.grad(loss, extreme.logps_S)
            assert torch.isfinite(loss) and torch.isfinite(gradient_S).all()

    def test_what_is_won_is_told_of_each_example(self) -> None:
        method, scores = self.make_method(), self.make_logprobs()
        is_won_E = method.is_preferred_E(scores, self.make_totals(scores))
        assert is_won_E is None or (
            is_won_E.dtype == torch.bool and is_won_E.shape == (NUM_EXAMPLES,)
        )


def slice_logprobs(
    scores: SequenceLogprobs, part: slice, method: TrainingMethod
) -> SequenceLogprobs:
    """The log-probabilities of some examples."""
    per_example = method.sequences_per_example
    rows = slice(
        (part.start or 0) * per_example, None if part.stop is None else part.stop * per_example
    )
    assert scores.reference_S is not None and scores.is_desirable_E is not None
    return SequenceLogprobs(
        scores.logps_S[rows],
        scores.weights_S[rows],
        scores.reference_S[rows],
        scores.is_desirable_E[part],
    )


def is_desirable_S(scores: SequenceLogprobs, method: TrainingMethod) -> Tensor:
    """For each sequence: of pairs the first one, of rated answers the desirable ones, otherwise
    all.
    """
    if method.sequences_per_example == 2:
        return torch.arange(len(scores.logps_S)) % 2 == 0
    assert scores.is_desirable_E is not None
    return scores.is_desirable_E if method.estimates_kl else torch.ones_like(scores.is_desirable_E)
