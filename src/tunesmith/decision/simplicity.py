"""From simple to elaborate: the order in which contenders are asked to justify themselves."""

from tunesmith.decision.pairwise_comparison import compute_cost_bucket
from tunesmith.records import Contender


def compute_simplicity_key(contender: Contender) -> tuple[int, int, float, str]:
    """The sort key of the ladder from simple to dear: kind, cost as far as measuring is sure of it, tokens, name.

    Wall time differs by a tenth or two from run to run; two contenders that cost the same must not change places for
    it. Tokens do not depend on how busy the machine was.
    """
    tokens = contender.tokens_in_per_request + contender.tokens_out_per_request
    return contender.traits.rank, compute_cost_bucket(contender), tokens, contender.name
