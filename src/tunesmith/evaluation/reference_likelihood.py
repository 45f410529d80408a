"""The probability that a model assigns to the references: a property of the contender, not of its
answers.

    reference_probability = exp(log probability of the reference / its tokens) = 1 / perplexity

It lies in (0, 1], and 1 is best, as in all metrics. Models with different tokenizers split a text
into different tokens, so compare those with care: the fewer the tokens, the lower the value.
"""

import math
from collections.abc import Sequence

from tunesmith.evaluation.scorers.scorer_protocol import ScoringFailure
from tunesmith.records import Example, LogprobModel, ProgressCallback

METRIC = "reference_probability"


def compute_reference_probabilities(
    model: LogprobModel, examples: Sequence[Example], progress: ProgressCallback | None = None
) -> list[dict[str, float] | ScoringFailure]:
    """One entry for each example, to be added to the scores of its answer."""
    logprobs = model.compute_logprobs(
        [e.prompt for e in examples], [e.answer for e in examples], progress
    )
    scores: list[dict[str, float] | ScoringFailure] = []
    for one in logprobs:
        mean = one.logprob / one.tokens if one.tokens else math.nan
        scores.append(
            # Rounding can make the sum slightly positive; a probability cannot exceed 1.
            ScoringFailure("the model gave no probability")
            if math.isnan(mean)
            else {METRIC: math.exp(min(mean, 0.0))}
        )
    return scores
