"""Errors by topic: clusters of questions with common words, named by their most characteristic
words.

    tf-idf   weight of word w in question q = (1 + log count) log(N / questions with w), unit rows
    LSA      rows -> projection onto the 24 strongest directions, normalized again
    k-means  rows -> the best of five k-means++ initializations with fixed seeds (scipy)

Clusters are made of all test questions, right and wrong, without using the answers: so it is valid
to test afterwards which of them has more errors. Nothing here depends on the language; where words
are not separated by spaces there may be no topics. Source: Deerwester et al. 1990 (latent semantic
analysis); Arthur, Vassilvitskii 2007 (k-means++). N questions, W words, C clusters, D directions.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.cluster.vq import kmeans2

from tunesmith.analysis.error_clusters import ErrorCluster
from tunesmith.analysis.rate_differences import compare_rates
from tunesmith.analysis.scored_examples import ScoredExamples
from tunesmith.evaluation.stats.significance import FloatArray

MIN_EXAMPLES = 40
"""Answered test examples; with fewer, clusters are too small to test."""
MAX_WORDS = 1000
NUM_DIRECTIONS = 24
MAX_CLUSTERS = 12
CLUSTER_SIZE = 20
NUM_STARTS = 5
NUM_TOPIC_WORDS = 3
_WORD = re.compile(r"[^\W\d_]{3,}")


def group_by_topic(cases: ScoredExamples) -> tuple[list[ErrorCluster], int]:
    """The topics with an error, most errors first, and the number of topics."""
    answered = cases.answered
    if len(answered) < MIN_EXAMPLES:
        return [], 0
    weights_NW, words = compute_tfidf([case.example.question for case in answered])
    if len(words) < 2:
        return [], 0
    cluster_N = cluster_questions(weights_NW)
    is_wrong_N = np.array([case.is_wrong for case in answered])
    clusters = []
    numbers = sorted(set(cluster_N.tolist()))
    for number in numbers if len(numbers) > 1 else []:
        inside_N = cluster_N == number
        hits = tuple((answered[i], answered[i].loss) for i in np.flatnonzero(inside_N & is_wrong_N))
        if not hits:
            continue
        rest_wrong, rest = int((is_wrong_N & ~inside_N).sum()), int((~inside_N).sum())
        contrast = compare_rates(len(hits), int(inside_N.sum()), rest_wrong, rest)
        named = choose_topic_words(weights_NW, words, inside_N)
        clusters.append(
            ErrorCluster(
                "topic", ", ".join(named), tuple(named), hits, int(inside_N.sum()), contrast
            )
        )
    return sorted(clusters, key=lambda one: (-len(one.errors), one.name)), len(numbers)


def compute_tfidf(texts: Sequence[str]) -> tuple[FloatArray, list[str]]:
    """Matrix (N, W) and its words: the most frequent ones that occur in at least two texts and in
    at most a fifth of them.
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    in_texts = Counter(word for count in counts for word in count)
    usable = [word for word, n in in_texts.items() if 2 <= n <= len(texts) / 5]
    words = sorted(usable, key=lambda word: (-in_texts[word], word))[:MAX_WORDS]
    place = {word: i for i, word in enumerate(words)}
    weights_NW = np.zeros((len(texts), len(words)))
    for row, count in enumerate(counts):
        for word in count.keys() & place.keys():
            weights_NW[row, place[word]] = (1 + np.log(count[word])) * np.log(
                len(texts) / in_texts[word]
            )
    return _normalize_rows(weights_NW), words


def cluster_questions(weights_NW: FloatArray) -> NDArray[np.intp]:
    """The cluster of each row; deterministic for the same rows."""
    count = max(2, min(MAX_CLUSTERS, len(weights_NW) // CLUSTER_SIZE))
    words = weights_NW.shape[1]
    strongest = [max(0, words - NUM_DIRECTIONS), words - 1]
    # The strongest right singular vectors of the tf-idf matrix, from the small W x W matrix.
    _, directions_WD = linalg.eigh(weights_NW.T @ weights_NW, subset_by_index=strongest)
    points_ND = _normalize_rows(weights_NW @ directions_WD)
    best, least = np.zeros(len(points_ND), dtype=np.intp), np.inf
    for seed in range(NUM_STARTS):
        with warnings.catch_warnings():
            # a cluster that loses all of its points may stay empty
            warnings.simplefilter("ignore", UserWarning)
            centres_CD, cluster_N = kmeans2(
                points_ND, count, iter=50, minit="++", rng=np.random.default_rng(seed)
            )
        spread = float(((points_ND - centres_CD[cluster_N]) ** 2).sum())
        # The margin keeps the first of equal solutions, whatever the rounding.
        if spread < least - 1e-9:
            best, least = cluster_N, spread
    return best


def choose_topic_words(
    weights_NW: FloatArray, words: Sequence[str], inside_N: NDArray[np.bool_]
) -> list[str]:
    """The words with the largest mean weight inside minus outside the cluster."""
    gap_W = weights_NW[inside_N].mean(axis=0) - weights_NW[~inside_N].mean(axis=0)
    return [words[i] for i in np.argsort(-gap_W, kind="stable")[:NUM_TOPIC_WORDS]]


def _normalize_rows(rows: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: FloatArray = rows / np.where(lengths > 0, lengths, 1.0)
    return result
