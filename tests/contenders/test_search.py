"""Search by words, by meaning and by both: the nearest first, the same each time, ties to the
earlier text."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.contenders.retrieval.search_index import (
    Bm25Index,
    DenseIndex,
    RankFusionIndex,
    TextSearch,
    fuse_rankings,
    get_search_factory,
    select_top_k,
    tokenize_for_search,
)


class LetterEmbedder:
    """A text as how often it has each letter."""

    name = "letters"

    def embed(self, texts: Sequence[str]) -> Any:
        counts = np.array(
            [[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts],
            np.float32,
        )
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def bm25(texts: Sequence[str], question: str, k: int, leave_out: Collection[int] = ()) -> list[int]:
    return Bm25Index(texts).find_nearest([question], k, [leave_out])[0]


def test_the_nearest_text_comes_first() -> None:
    index = Bm25Index(["my card has not arrived", "top up by bank transfer", "the card was stolen"])
    assert index.find_nearest(["when will my card arrive", "bank"], 2) == [[0, 2], [1]]


def test_short_strings_meet_without_sharing_a_word() -> None:
    assert bm25(["Acme Inc", "Jonathan Smyth"], "Jon Smith", 1) == [1]
    assert bm25(["Ελλάδα", "東京都"], "東京", 1) == [1]


def test_nothing_in_common_finds_nothing() -> None:
    assert Bm25Index(["alpha", "beta"]).find_nearest(["###", "", "xyz"], 2) == [[], [], []]


@pytest.mark.parametrize("kind", ["bm25", "dense", "hybrid"])
class TestEverySearch:
    @pytest.fixture
    def make(self, kind: Any) -> Any:
        return get_search_factory(kind, LetterEmbedder())

    def test_ties_go_to_the_earlier_text_and_more_than_there_are_is_no_error(
        self, make: Any
    ) -> None:
        assert make(["same"] * 5).find_nearest(["same"], 3) == [[0, 1, 2]]
        assert make(["same"] * 2).find_nearest(["same"], 9) == [[0, 1]]

    def test_what_is_left_out_is_not_found(self, make: Any) -> None:
        index: TextSearch = make(["same"] * 4)
        assert index.find_nearest(["same", "same"], 2, [{0, 2}, ()]) == [[1, 3], [0, 1]]
        assert index.find_nearest(["same"], 2, [range(4)]) == [[]]

    def test_the_nearest_comes_first(self, make: Any) -> None:
        assert make(["zebra", "apple pie", "quick fox"]).find_nearest(["apple"], 1) == [[1]]

    @pytest.mark.parametrize("texts", [[], [""], ["..."]])
    def test_an_empty_question_or_index_finds_nothing(self, make: Any, texts: list[str]) -> None:
        assert make(texts).find_nearest(["  "], 3) == [[]]
        assert make([]).find_nearest(["anything"], 3) == [[]]

    def test_it_prints_nothing_and_says_how_it_searches(
        self, make: Any, capfd: pytest.CaptureFixture[str]
    ) -> None:
        index = make([f"text number {i}" for i in range(200)])
        index.find_nearest(["number 7"] * 300, 3)
        assert capfd.readouterr() == ("", "") and index.name


def test_names_tell_how_it_is_searched() -> None:
    assert [
        get_search_factory(kind, LetterEmbedder())(["x"]).name
        for kind in ("bm25", "dense", "hybrid")
    ] == [
        "BM25",
        "vectors of letters",
        "BM25 and vectors of letters, joined by rank",
    ]
    with pytest.raises(ValueError, match="needs an embedder"):
        get_search_factory("dense")


def test_many_questions_are_searched_in_parts_as_if_one_by_one() -> None:
    texts = [f"{chr(97 + i % 26) * (i % 7 + 1)} {chr(97 + i % 11)}" for i in range(300)]
    index = DenseIndex(texts, LetterEmbedder())
    questions = texts[:270]
    assert index.find_nearest(questions, 4) == [
        index.find_nearest([question], 4)[0] for question in questions
    ]


def test_ranks_are_joined_as_cormack_et_al_do() -> None:
    # 1/61 + 1/63 for 7; 1/62 + 1/61 for 3; 1/63 alone for 5; 1/62 alone for 9
    assert fuse_rankings([[7, 3, 5], [3, 9, 7]]) == [3, 7, 9, 5]
    assert fuse_rankings([[2], [1]]) == [1, 2] and fuse_rankings([]) == []
    index = RankFusionIndex(
        [Bm25Index(["aab", "ab", "zz"]), DenseIndex(["aab", "ab", "zz"], LetterEmbedder())]
    )
    assert index.find_nearest(["ab"], 2) == [[1, 0]]


@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(1, 35))
def test_the_best_are_those_of_a_stable_sort(scores: list[int], k: int) -> None:
    scores_N = np.array(scores, dtype=np.float32)
    assert select_top_k(scores_N, k) == np.argsort(-scores_N, kind="stable")[:k].tolist()


def test_tokens() -> None:
    assert tokenize_for_search("Jon!") == ["jon", "^jo", "jon", "on$"]
