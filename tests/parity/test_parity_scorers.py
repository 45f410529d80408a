"""Our scores against sacrebleu's and rouge-score's. Tolerance: rounding of a few additions (1e-12)."""

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF

from tunesmith.evaluation.scorers.chrf import ChrfScorer, chrf_counts, chrf_of
from tunesmith.evaluation.scorers.rouge_l import RougeLScorer

WORDS = ["the", "cat", "sat", "on", "a", "mat,", "and", "THE", "dog's", "42", "un-usual", "friends_came", "too..."]


def _pairs(seed: int, longest: int = 20) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    return [tuple(" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(2)) for _ in range(60)]


def test_rouge_l_equals_rouge_score() -> None:
    theirs = RougeScorer(["rougeL"], use_stemmer=False)
    for answer, reference in _pairs(1):
        expected = theirs.score(reference, answer)["rougeL"].fmeasure
        assert RougeLScorer().score(answer, reference)["rouge_l"] == pytest.approx(expected, abs=1e-12)


def test_chrf_of_a_sentence_equals_sacrebleu() -> None:
    for answer, reference in [*_pairs(2), *_pairs(3, longest=1), ("Grüße, 世界", "Gruß 世界!"), ("", "x"), ("x", "xy")]:
        expected = CHRF().sentence_score(answer, [reference]).score / 100
        assert ChrfScorer().score(answer, reference)["chrf"] == pytest.approx(expected, abs=1e-12)


def test_chrf_of_a_corpus_equals_sacrebleu() -> None:
    for seed in range(5):
        answers, references = map(list, zip(*_pairs(seed), strict=True))
        expected = CHRF().corpus_score(answers, [references]).score / 100
        sums = np.sum([chrf_counts(a, r) for a, r in zip(answers, references, strict=True)], axis=0)
        assert float(chrf_of(sums)) == pytest.approx(expected, abs=1e-12)
