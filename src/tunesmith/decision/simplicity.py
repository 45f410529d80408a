"""The order of contenders from simple to complex, in which they have to justify their extra
cost.
"""

from tunesmith.decision.pairwise_comparison import compute_cost_bucket
from tunesmith.records import Contender


def compute_simplicity_key(contender: Contender) -> tuple[int, int, float, str]:
    """Sort key from simple to costly: kind, cost bucket, tokens per request, name.

    Wall time varies by 10 to 20 % from run to run, and two contenders of equal cost must not change
    places because of it. Tokens do not depend on the load of the machine.

    Errors: `RecordError` for an unknown kind.
    """
    tokens = contender.tokens_in_per_request + contender.tokens_out_per_request
    return contender.traits.rank, compute_cost_bucket(contender), tokens, contender.name
