"""How likely a model finds the references: a property of the contender, not of any answer that it gave.

    reference_probability = exp(log-probability of the reference / its tokens) = 1 / perplexity        in (0, 1]

1 is best, as everywhere. Models with different tokenizers cut the same text into other tokens; then compare only with
care: the fewer the tokens, the lower the number.
"""

import math
from collections.abc import Sequence

from tunesmith.evaluation.scorers.scorer_protocol import ScoringFailure
from tunesmith.records import Example, LogprobModel, ProgressCallback

METRIC = "reference_probability"


def score_references(
    model: LogprobModel, examples: Sequence[Example], progress: ProgressCallback | None = None
) -> list[dict[str, float] | ScoringFailure]:
    """One entry for each example, to stand beside the scores of its answer."""
    told = model.compute_logprobs([e.prompt for e in examples], [e.answer for e in examples], progress)
    scores: list[dict[str, float] | ScoringFailure] = []
    for one in told:
        mean = one.logprob / one.tokens if one.tokens else math.nan
        scores.append(
            ScoringFailure("the model gave no probability") if math.isnan(mean) else {METRIC: math.exp(min(mean, 0.0))}
        )
    return scores
