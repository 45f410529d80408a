"""Which of these texts are nearest to a question? By words (BM25), by meaning (vectors), or by both rankings joined.

**BM25** over words and character trigrams (of scripts without spaces also pairs of characters). No stemmer and no stop
words: nothing here knows a language. Trigrams let short strings meet that share no word ("Jon Smith", "John Smyth"):
for 400 held-out strings of the names sample an example with the very same sequence of parts is among the first five for
50 %, with words alone for 20 %. The scores are bm25s's (Lucene variant, k1 1.5, b 0.75).

**Dense**: the cosine of the angle between sentence vectors. Whatever makes them is handed in (`records.Embedder`).

**Both**: reciprocal rank fusion, which needs no scale common to the two scores:

    score(text) = sum over the rankings of 1 / (60 + the text's rank in it, from 1)

Source: Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods", doi:10.1145/1571941.1572114; 60 is theirs.

Legend: N texts, Q questions, D dimensions of a vector.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tunesmith.baselines.rag.unspaced_scripts import list_character_pairs
from tunesmith.records import Embedder

_WORD = re.compile(r"\w+")
RANK_OFFSET = 60
FUSION_DEPTH = 100
"""How many texts of each ranking are joined; further down a rank adds next to nothing."""
QUERY_BATCH_SIZE = 256


class TextSearch(Protocol):
    """Texts, searched by questions. The same texts and question give the same result: ties go to the earlier text.

    `name` tells a reader how it searches; `vectors` are those of the texts, None where it needs none.
    """

    name: str
    vectors: NDArray[np.float32] | None

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """For each question the positions of up to k texts, best first, without those that it leaves out."""
        ...


def get_search_factory(
    kind: Literal["bm25", "dense", "both"],
    embedder: Embedder | None = None,
    vectors: NDArray[np.float32] | None = None,
) -> Callable[[Sequence[str]], TextSearch]:
    """What makes an index of texts, whose `vectors` may be known already.

    Errors: ValueError when vectors are asked for and nothing can make them.
    """
    if kind == "bm25":
        return Bm25Index
    if embedder is None:
        raise ValueError(f"search {kind!r} needs an embedder")
    if kind == "dense":
        return lambda texts: DenseIndex(texts, embedder, vectors)
    return lambda texts: RankFusionIndex([Bm25Index(texts), DenseIndex(texts, embedder, vectors)])


class Bm25Index:
    """A `TextSearch` by words and pieces of words; finds nothing where nothing is in common."""

    name = "BM25"
    vectors: NDArray[np.float32] | None = None

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s  # here, because it costs a third of a second and most commands never search

        tokens = [tokenize_for_search(text) for text in texts]
        self._bm25 = bm25s.BM25()
        self._is_empty = not any(tokens)  # bm25s cannot index nothing
        if not self._is_empty:
            self._bm25.index(tokens, show_progress=False)

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """See `TextSearch`."""
        left_out = exclude or [()] * len(questions)
        return [self._find_nearest(question, k, out) for question, out in zip(questions, left_out, strict=True)]

    def _find_nearest(self, question: str, k: int, exclude: Collection[int]) -> list[int]:
        tokens = tokenize_for_search(question)
        if self._is_empty or not any(token in self._bm25.vocab_dict for token in tokens):
            return []
        scores_N = self._bm25.get_scores(tokens)
        scores_N[list(exclude)] = 0
        return [position for position in select_top_k(scores_N, k) if scores_N[position] > 0]


class DenseIndex:
    """A `TextSearch` by meaning; it finds k texts for every question that says anything."""

    def __init__(self, texts: Sequence[str], embedder: Embedder, vectors: NDArray[np.float32] | None = None) -> None:
        self.name = f"vectors of {embedder.name}"
        self._embedder = embedder
        self.vectors = embedder.embed(texts) if vectors is None and texts else vectors
        self._texts_ND = None if self.vectors is None else np.asarray(self.vectors, np.float64)

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """See `TextSearch`."""
        left_out = exclude or [()] * len(questions)
        found: list[list[int]] = []
        for begin in range(0, len(questions), QUERY_BATCH_SIZE):
            part = slice(begin, begin + QUERY_BATCH_SIZE)
            found += self._find_nearest(questions[part], k, left_out[part])
        return found

    def _find_nearest(self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]]) -> list[list[int]]:
        if self._texts_ND is None:
            return [[] for _ in questions]
        # Exact, then rounded: equal texts must tie, in whatever order the products of their numbers are added up.
        cosines_QN = np.round(self._embedder.embed(questions) @ self._texts_ND.T, 6)
        found = []
        for question, cosines_N, out in zip(questions, cosines_QN, exclude, strict=True):
            cosines_N[list(out)] = -np.inf
            is_asked = bool(question.strip())
            found.append([i for i in select_top_k(cosines_N, k) if is_asked and np.isfinite(cosines_N[i])])
        return found


class RankFusionIndex:
    """A `TextSearch` that joins the rankings of others."""

    def __init__(self, searches: Sequence[TextSearch]) -> None:
        self._searches = tuple(searches)
        self.name = " and ".join(search.name for search in searches) + ", joined by rank"
        self.vectors = next((search.vectors for search in searches if search.vectors is not None), None)

    def find_nearest(
        self, questions: Sequence[str], k: int, exclude: Sequence[Collection[int]] | None = None
    ) -> list[list[int]]:
        """See `TextSearch`."""
        depth = max(FUSION_DEPTH, k)
        rankings = [search.find_nearest(questions, depth, exclude) for search in self._searches]
        return [fuse_rankings(of_one)[:k] for of_one in zip(*rankings, strict=True)]


def fuse_rankings(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Reciprocal rank fusion of rankings of positions, best first; ties go to the lower position."""
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, position in enumerate(ranking, start=1):
            scores[position] += 1 / (RANK_OFFSET + rank)
    return sorted(scores, key=lambda position: (-scores[position], position))


def select_top_k(scores_N: NDArray[Any], k: int) -> list[int]:
    """Positions of the k highest scores, best first, ties to the lower position; only those are sorted."""
    if k < len(scores_N):
        least = np.partition(scores_N, len(scores_N) - k)[len(scores_N) - k]
        candidates = np.flatnonzero(scores_N >= least)
    else:
        candidates = np.arange(len(scores_N))
    order = np.argsort(-scores_N[candidates], kind="stable")
    return [int(position) for position in candidates[order[:k]]]


def tokenize_for_search(text: str) -> list[str]:
    """Lower-case words, and the trigrams of each word with its ends marked: `jon` -> jon, ^jo, jon, on$.

    Besides, each two characters in a row of scripts without spaces: their words are that short.
    """
    text = text.lower()
    words = _WORD.findall(text)
    marked = [f"^{word}$" for word in words]
    return words + [word[i : i + 3] for word in marked for i in range(len(word) - 2)] + list_character_pairs(text)
