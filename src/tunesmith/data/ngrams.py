"""Find runs of words that texts share, in all texts at once.

Every word becomes a number. A run of n words is hashed as h <- h * p + word_k (mod 2^64) with a
xor-shift after each word, in n passes over one array. Two different runs have the same hash in
about one of 10^19 pairs. Shapes: N = words of all texts, concatenated; T = texts; R = runs.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

NGRAM_LENGTH = 13
"""The usual length for contamination checks. Source: Brown et al. (2020), Language Models are
Few-Shot Learners, appendix C."""
MAX_COMMON_FRACTION, MIN_COMMON_COUNT = 0.02, 3
"""A run of 13 in over 2 % of the train examples (and more than 3) is a template's boilerplate."""
MIN_COVERED_FRACTION = 0.5
"""Shared runs must cover half of the prompt: 13 words may be the closing lines of a letter."""
PHRASE_LENGTH, PHRASE_FRACTION = 5, 0.002
"""A run of 5 in more than 0.2 % of them (and more than 3) is a set phrase. Texts made of set
phrases share 13 words by chance, so a run of 13 counts only if fewer than half of its runs of 5 are
phrases."""
BOILERPLATE_FRACTION = 0.2
"""A run of 5 in more than a fifth of them is an instruction: its words are not compared at all."""


class NgramIndex:
    """The words of many texts as one array of numbers, with the text that each belongs to."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self.texts = texts
        numbers: dict[str, int] = {}
        lengths_T = np.fromiter(map(len, texts), np.int64, len(texts))
        words = (numbers.setdefault(word, len(numbers)) for word in chain.from_iterable(texts))
        # An odd factor is invertible modulo 2^64, so different words keep different numbers.
        drawn = np.random.default_rng(0).integers(1, 2**63, 1, np.uint64)[0] | np.uint64(1)
        self._word_hashes_N = (
            np.fromiter(words, np.uint64, int(lengths_T.sum())) + np.uint64(1)
        ) * drawn
        self.starts_T = np.cumsum(lengths_T) - lengths_T
        self.text_index_N = np.repeat(np.arange(len(texts)), lengths_T)

    def hash_ngrams(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """(hash_R, start_R) of every run of `length` words that lies within one text."""
        count = len(self._word_hashes_N) - length + 1
        if count <= 0:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        hashes = np.zeros(count, np.uint64)
        # uint64 wraps around by design. In a plain polynomial modulo 2^64 the low bits depend on
        # low bits only; the xor-shift feeds the high ones back into them.
        for k in range(length):
            hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + self._word_hashes_N[k : count + k]
            hashes ^= hashes >> np.uint64(29)
        start_R = np.flatnonzero(self.text_index_N[:count] == self.text_index_N[length - 1 :])
        return hashes[start_R], start_R


class NgramFlags(NamedTuple):
    """For each word whether it begins a set phrase, and whether it belongs to boilerplate."""

    is_phrase_N: np.ndarray
    is_boilerplate_N: np.ndarray


def flag_common_ngrams(phrases: NgramIndex, held_out: int) -> NgramFlags:
    """Flag runs of 5 words by their frequency in the train examples, the texts after `held_out`."""
    hash_R, start_R = phrases.hash_ngrams(PHRASE_LENGTH)
    others = len(phrases.texts) - held_out
    known, counts = np.unique(hash_R[phrases.text_index_N[start_R] >= held_out], return_counts=True)
    known, counts = known[counts > MIN_COMMON_COUNT], counts[counts > MIN_COMMON_COUNT]
    is_phrase_N, is_form_N = np.zeros((2, len(phrases.text_index_N)), bool)
    is_phrase_N[start_R[_is_among(hash_R, known[counts > PHRASE_FRACTION * others])]] = True
    starts = start_R[_is_among(hash_R, known[counts > BOILERPLATE_FRACTION * others])]
    for k in range(PHRASE_LENGTH):
        is_form_N[starts + k] = True
    return NgramFlags(is_phrase_N, is_form_N)


def find_shared_ngrams(
    phrases: NgramIndex, common: NgramFlags, held_out: int
) -> list[tuple[int, int]]:
    """(held-out text, train text) pairs that share a run of 13 words.

    Each text with a shared run is paired with the first text on the other side that has it. The
    first `held_out` texts are the held-out ones.
    """
    hash_R, start_R = phrases.hash_ngrams(NGRAM_LENGTH)
    within = NGRAM_LENGTH - PHRASE_LENGTH + 1
    # Prefix sums count the phrases inside each run of 13 without a loop.
    before_N = np.concatenate([[0], np.cumsum(common.is_phrase_N)])
    is_own_words_R = 2 * (before_N[start_R + within] - before_N[start_R]) < within
    hash_R, start_R = hash_R[is_own_words_R], start_R[is_own_words_R]
    is_other_R = phrases.text_index_N[start_R] >= held_out
    is_shared_R = ~is_other_R & _is_among(hash_R, hash_R[is_other_R])
    is_shared_R |= is_other_R & _is_among(hash_R, hash_R[is_shared_R])
    text_R = phrases.text_index_N[start_R[is_shared_R]]
    pairs = _find_first_partners(hash_R[is_shared_R], text_R, held_out, len(phrases.texts))
    return [
        (a, b)
        for a, b in pairs
        if _compute_covered_fraction(phrases.texts[a], phrases.texts[b]) >= MIN_COVERED_FRACTION
    ]


def _find_first_partners(
    hash_R: np.ndarray, text_R: np.ndarray, held_out: int, texts: int
) -> list[tuple[int, int]]:
    """Pairs of a held-out and a train text with a common hash, except hashes that many texts have.

    P = distinct (hash, text) pairs, sorted by hash, then text; every hash occurs on both sides.
    """
    # int64 view: np.stack needs one dtype, and only equality of the hashes matters.
    hash_P, text_P = np.unique(np.stack([hash_R.view(np.int64), text_R], axis=1), axis=0).T
    run_P = np.unique(hash_P, return_inverse=True)[1]
    is_other_P = text_P >= held_out
    is_rare_P = (
        np.bincount(run_P, is_other_P)
        <= max(MIN_COMMON_COUNT, MAX_COMMON_FRACTION * (texts - held_out))
    )[run_P]
    run_P, text_P, is_other_P = run_P[is_rare_P], text_P[is_rare_P], is_other_P[is_rare_P]
    # Reversed, so that of several texts with a hash the first one is written last and stays.
    first_held_out = dict(
        zip(run_P[~is_other_P][::-1].tolist(), text_P[~is_other_P][::-1].tolist(), strict=True)
    )
    first_other = dict(
        zip(run_P[is_other_P][::-1].tolist(), text_P[is_other_P][::-1].tolist(), strict=True)
    )
    pairs = {
        (first_held_out[run], text) if is_other else (text, first_other[run])
        for run, text, is_other in zip(
            run_P.tolist(), text_P.tolist(), is_other_P.tolist(), strict=True
        )
    }
    return sorted(pairs)


def _compute_covered_fraction(words: Sequence[str], others: Sequence[str]) -> float:
    """The fraction of the words that lie in runs of 13 which `others` contains too."""
    runs = {tuple(others[k : k + NGRAM_LENGTH]) for k in range(len(others) - NGRAM_LENGTH + 1)}
    covered: set[int] = set()
    for k in range(len(words) - NGRAM_LENGTH + 1):
        if tuple(words[k : k + NGRAM_LENGTH]) in runs:
            covered.update(range(k, k + NGRAM_LENGTH))
    return len(covered) / len(words)


def _is_among(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Membership of each value in `others`. np.isin sorts both; here only the few `others` are."""
    if not len(others):
        return np.zeros(len(values), bool)
    others = np.sort(others)
    is_found: np.ndarray = (
        others[np.minimum(np.searchsorted(others, values), len(others) - 1)] == values
    )
    return is_found


def remove_boilerplate(phrases: NgramIndex, common: NgramFlags) -> list[Sequence[str]]:
    """The words of every text without those flagged as boilerplate."""
    flags = np.split(common.is_boilerplate_N, phrases.starts_T[1:])
    return [
        [word for word, is_form in zip(text, flag.tolist(), strict=True) if not is_form]
        for text, flag in zip(phrases.texts, flags, strict=True)
    ]
