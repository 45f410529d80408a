"""Nearest texts to a question: by words (BM25), by meaning (vectors), or by both rankings fused.

**BM25** over words and character trigrams (in scripts without spaces also pairs of characters). No
stemmer and no stop words, so it depends on no language. Trigrams match short strings that share no
word ("Jon Smith", "John Smyth"): for 400 held-out strings of the names sample, an example with
exactly the same sequence of parts is among the first five for 50 %, with words alone for 20 %.
Scores are those of bm25s (Lucene variant, k1 1.5, b 0.75).

**Dense**: cosine similarity of sentence vectors. The embedder is passed in (`records.Embedder`).

**Both**: reciprocal rank fusion, which needs no common scale of the two scores:

    score(text) = sum over the rankings of 1 / (60 + the text's rank in it, from 1)

Source: Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and
individual rank learning methods", doi:10.1145/1571941.1572114; the constant 60 is theirs.

Legend: N texts, Q questions, D dimensions of a vector.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tunesmith.contenders.retrieval.unspaced_scripts import list_character_pairs
from tunesmith.records import Embedder

_WORD = re.compile(r"\w+")
RANK_OFFSET = 60
"""The constant of reciprocal rank fusion; see the module docstring."""
FUSION_DEPTH = 100
"""Number of texts per ranking that are fused; lower ranks contribute almost nothing."""
QUERY_BATCH_SIZE = 256
"""Questions per matrix product; it bounds the memory for the [Q, N] similarities."""


class TextSearch(Protocol):
    """A search over texts. Deterministic: ties go to the earlier text.

    `name` says how it searches; `vectors` are those of the texts [N, D], None if it uses none.
    """

    name: str
    vectors: NDArray[np.float32] | None

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """For each question the positions of up to `k` texts, best first, without those in its
        entry of `exclude`."""
        ...


def get_search_factory(
    kind: Literal["bm25", "dense", "hybrid"],
    embedder: Embedder | None = None,
    vectors: NDArray[np.float32] | None = None,
) -> Callable[[Sequence[str]], TextSearch]:
    """A function that builds an index of texts; `vectors` may be given if they are already known.

    Errors: ValueError if vectors are needed and there is no embedder.
    """
    if kind == "bm25":
        return Bm25Index
    if embedder is None:
        raise ValueError(f"search {kind!r} needs an embedder")
    if kind == "dense":
        return lambda texts: DenseIndex(texts, embedder, vectors)
    return lambda texts: RankFusionIndex([Bm25Index(texts), DenseIndex(texts, embedder, vectors)])


class Bm25Index:
    """A `TextSearch` by words and parts of words; texts that share nothing are not returned."""

    name = "BM25"
    vectors: NDArray[np.float32] | None = None

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s  # imported here: it takes a third of a second and most commands never search

        tokens = [tokenize_for_search(text) for text in texts]
        self._bm25 = bm25s.BM25()
        self._is_empty = not any(tokens)  # bm25s cannot index an empty vocabulary
        if not self._is_empty:
            self._bm25.index(tokens, show_progress=False)

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """See `TextSearch`."""
        left_out = exclude or [()] * len(questions)
        return [
            self._find_nearest(question, k, out)
            for question, out in zip(questions, left_out, strict=True)
        ]

    def _find_nearest(self, question: str, k: int, exclude: Collection[int]) -> list[int]:
        tokens = tokenize_for_search(question)
        if self._is_empty or not any(token in self._bm25.vocab_dict for token in tokens):
            return []
        scores_N = self._bm25.get_scores(tokens)
        scores_N[list(exclude)] = 0
        return [position for position in select_top_k(scores_N, k) if scores_N[position] > 0]


class DenseIndex:
    """A `TextSearch` by meaning; it returns `k` texts for every question that is not blank."""

    def __init__(
        self, texts: Sequence[str], embedder: Embedder, vectors: NDArray[np.float32] | None = None
    ) -> None:
        self.name = f"vectors of {embedder.name}"
        self._embedder = embedder
        self.vectors = embedder.embed(texts) if vectors is None and texts else vectors
        self._texts_ND = None if self.vectors is None else np.asarray(self.vectors, np.float64)

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """See `TextSearch`."""
        left_out = exclude or [()] * len(questions)
        nearest: list[list[int]] = []
        for begin in range(0, len(questions), QUERY_BATCH_SIZE):
            part = slice(begin, begin + QUERY_BATCH_SIZE)
            nearest += self._find_nearest(questions[part], k, left_out[part])
        return nearest

    def _find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]]
    ) -> list[list[int]]:
        if self._texts_ND is None:
            return [[] for _ in questions]
        # float64, then rounded: equal texts must tie, in whatever order the products are summed.
        cosines_QN = np.round(self._embedder.embed(questions) @ self._texts_ND.T, 6)
        nearest = []
        for question, cosines_N, out in zip(questions, cosines_QN, exclude, strict=True):
            cosines_N[list(out)] = -np.inf
            is_asked = bool(question.strip())
            nearest.append(
                [i for i in select_top_k(cosines_N, k) if is_asked and np.isfinite(cosines_N[i])]
            )
        return nearest


class RankFusionIndex:
    """A `TextSearch` that fuses the rankings of others."""

    def __init__(self, searches: Sequence[TextSearch]) -> None:
        self._searches = tuple(searches)
        self.name = " and ".join(search.name for search in searches) + ", joined by rank"
        self.vectors = next(
            (search.vectors for search in searches if search.vectors is not None), None
        )

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """See `TextSearch`."""
        depth = max(FUSION_DEPTH, k)
        rankings = [search.find_nearest(questions, depth, exclude) for search in self._searches]
        return [fuse_rankings(of_one)[:k] for of_one in zip(*rankings, strict=True)]


def fuse_rankings(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Reciprocal rank fusion of rankings of positions, best first; ties go to the lower
    position."""
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, position in enumerate(ranking, start=1):
            scores[position] += 1 / (RANK_OFFSET + rank)
    return sorted(scores, key=lambda position: (-scores[position], position))


def select_top_k(scores_N: NDArray[Any], k: int) -> list[int]:
    """Positions of the `k` highest scores, best first; ties go to the lower position."""
    # Partition first, then sort only the candidates: O(N) instead of O(N log N).
    if k < len(scores_N):
        least = np.partition(scores_N, len(scores_N) - k)[len(scores_N) - k]
        candidates = np.flatnonzero(scores_N >= least)
    else:
        candidates = np.arange(len(scores_N))
    order = np.argsort(-scores_N[candidates], kind="stable")
    return [int(position) for position in candidates[order[:k]]]


def tokenize_for_search(text: str) -> list[str]:
    """Lower-case words, and the trigrams of each word with its ends marked: `jon` -> jon, ^jo, jon,
    on$.

    In scripts without spaces also each pair of consecutive characters: most words there are that
    short.
    """
    text = text.lower()
    words = _WORD.findall(text)
    marked = [f"^{word}$" for word in words]
    return (
        words
        + [word[i : i + 3] for word in marked for i in range(len(word) - 2)]
        + list_character_pairs(text)
    )
