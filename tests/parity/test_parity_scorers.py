"""Our scores against sacrebleu's and rouge-score's, kappa against statsmodels'.

Tolerance: rounding of a few additions (1e-12).
"""

import random
from itertools import pairwise

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from statsmodels.stats.inter_rater import cohens_kappa as kappa_of_statsmodels

from tunesmith.evaluation.judge.kappa import cohens_kappa
from tunesmith.evaluation.scorers.bleu import BleuScorer, compute_bleu, count_bleu_ngrams
from tunesmith.evaluation.scorers.chrf import ChrfScorer, compute_chrf, count_chrf_ngrams
from tunesmith.evaluation.scorers.rouge_l import RougeLScorer
from tunesmith.evaluation.scorers.ter import TerScorer

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat,",
    "and",
    "THE",
    "dog's",
    "42",
    "un-usual",
    "friends_came",
    "too...",
]


def _pairs(seed: int, longest: int = 20) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    return [
        tuple(" ".join(draw.choices(WORDS, k=draw.randint(1, longest))) for _ in range(2))
        for _ in range(60)
    ]


def test_rouge_l_equals_rouge_score() -> None:
    theirs = RougeScorer(["rougeL"], use_stemmer=False)
    for answer, reference in _pairs(1):
        expected = theirs.score(reference, answer)["rougeL"].fmeasure
        assert RougeLScorer().score(answer, reference)["rouge_l"] == pytest.approx(
            expected, abs=1e-12
        )


def test_chrf_of_a_sentence_equals_sacrebleu() -> None:
    for answer, reference in [
        *_pairs(2),
        *_pairs(3, longest=1),
        ("Grüße, 世界", "Gruß 世界!"),
        ("", "x"),
        ("x", "xy"),
    ]:
        expected = CHRF().sentence_score(answer, [reference]).score / 100
        assert ChrfScorer().score(answer, reference)["chrf"] == pytest.approx(expected, abs=1e-12)


def test_chrf_of_a_corpus_equals_sacrebleu() -> None:
    for seed in range(5):
        answers, references = map(list, zip(*_pairs(seed), strict=True))
        expected = CHRF().corpus_score(answers, [references]).score / 100
        sums = np.sum(
            [count_chrf_ngrams(a, r) for a, r in zip(answers, references, strict=True)], axis=0
        )
        assert float(compute_chrf(sums)) == pytest.approx(expected, abs=1e-12)


MARKED = [
    'It\'s 3,000.50 -- "quoted" (A/B) &amp; 5-6; end.',
    "a-b 3-4 x.y 1.5. e.g., <skipped>\nline-\nbreak",
    "日本語、です。",
]


def test_bleu_counts_equal_sacrebleus() -> None:
    theirs = BLEU(effective_order=True)
    for answer, reference in [*pairwise(MARKED), *_pairs(4)]:
        found = theirs.sentence_score(answer, [reference])
        expected = [found.sys_len, found.ref_len, *found.counts, *found.totals]
        assert count_bleu_ngrams(answer, reference).tolist() == expected


def test_bleu_of_a_sentence_equals_sacrebleu() -> None:
    theirs = BLEU(effective_order=True)
    pairs = [*_pairs(5), *_pairs(6, longest=3), *pairwise(MARKED), ("the", "the cat"), ("", "x")]
    for answer, reference in pairs:
        expected = theirs.sentence_score(answer, [reference]).score / 100
        assert BleuScorer().score(answer, reference)["bleu"] == pytest.approx(expected, abs=1e-12)


def test_bleu_of_a_corpus_equals_sacrebleu() -> None:
    for seed in range(6):
        answers, references = map(list, zip(*_pairs(seed, longest=20 if seed else 3), strict=True))
        expected = BLEU().corpus_score(answers, [references]).score / 100
        sums = np.sum(
            [count_bleu_ngrams(a, r) for a, r in zip(answers, references, strict=True)], axis=0
        )
        assert float(compute_bleu(sums)) == pytest.approx(expected, abs=1e-12)


def test_ter_of_a_corpus_equals_sacrebleu() -> None:
    for seed in range(3):
        answers, references = map(list, zip(*_pairs(seed), strict=True))
        expected = 1 - TER().corpus_score(answers, [references]).score / 100
        (metric,) = TerScorer().corpus_metrics.values()
        sums = np.sum(
            [metric.count(a, r) for a, r in zip(answers, references, strict=True)], axis=0
        )
        assert float(metric.combine(sums)) == pytest.approx(max(0.0, expected), abs=1e-12)


@pytest.mark.parametrize(("marks", "weights"), [(2, None), (3, "linear"), (5, "linear")])
def test_kappa_and_its_interval_equal_statsmodels(marks: int, weights: str | None) -> None:
    draw = np.random.default_rng(marks)
    for agreement in (0.0, 0.4, 0.7):
        people = draw.integers(0, marks, 200)
        judge = np.where(draw.random(200) < agreement, people, draw.integers(0, marks, 200))
        table = np.zeros((marks, marks))
        np.add.at(table, (judge, people), 1)
        theirs = kappa_of_statsmodels(table, wt=weights)
        ours = cohens_kappa(judge, people, marks)
        assert ours is not None and ours.n == 200
        assert (ours.value, ours.low, ours.high) == pytest.approx(
            (theirs.kappa, theirs.kappa_low, theirs.kappa_upp), abs=1e-12
        )


def test_perfect_agreement_of_a_few_is_not_certain() -> None:
    few, many = (cohens_kappa([0, 1] * n, [0, 1] * n, 2) for n in (4, 40))
    assert few is not None and many is not None
    assert few.value == many.value == 1.0 and few.low < 0.4 < 0.9 < many.low
    assert cohens_kappa([0, 0], [0, 0], 2) is None and cohens_kappa([], [], 2) is None
