"""Errors by length of the question: four groups of about equal size, split at the quartiles of the
character counts.
"""

import numpy as np

from tunesmith.analysis.error_clusters import ErrorCluster
from tunesmith.analysis.rate_differences import compare_rates
from tunesmith.analysis.scored_examples import ScoredExamples

MIN_EXAMPLES = 40
"""With fewer examples a quarter has less than ten and shows nothing."""


def group_by_length(cases: ScoredExamples) -> tuple[list[ErrorCluster], int]:
    """The groups with an error, from short to long, and the number of groups."""
    answered = cases.answered
    if len(answered) < MIN_EXAMPLES:
        return [], 0
    lengths_N = np.array([len(case.example.question) for case in answered])
    # Many equal lengths make quartiles coincide: then there are fewer than four groups.
    edges = np.unique(np.quantile(lengths_N, [0.25, 0.5, 0.75], method="lower"))
    # side="left": a length equal to an edge belongs to the lower group
    bin_N = np.searchsorted(edges, lengths_N, side="left")
    is_wrong_N = np.array([case.is_wrong for case in answered])
    clusters = []
    bins = sorted(set(bin_N.tolist()))
    if len(bins) < 2:
        return [], 0
    for number in bins:
        inside_N = bin_N == number
        hits = tuple((answered[i], answered[i].loss) for i in np.flatnonzero(inside_N & is_wrong_N))
        if not hits:
            continue
        low, high = int(lengths_N[inside_N].min()), int(lengths_N[inside_N].max())
        rest_wrong, rest = int((is_wrong_N & ~inside_N).sum()), int((~inside_N).sum())
        name = f"{low:,} to {high:,} characters"
        contrast = compare_rates(len(hits), int(inside_N.sum()), rest_wrong, rest)
        clusters.append(ErrorCluster("length", name, (name,), hits, int(inside_N.sum()), contrast))
    return clusters, len(bins)
