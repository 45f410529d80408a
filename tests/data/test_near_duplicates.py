"""MinHash finds what it promises, reports nothing wrongly, and stays cheap where everything is
alike."""

import random
import time

import pytest

from tunesmith.data.check.minhash import _compute_signatures, find_similar_earlier

DICE = random.Random(5)
WORDS = [
    "".join(DICE.choices("abcdefghijklmnopqrstuvwxyz", k=DICE.randint(3, 9))) for _ in range(3000)
]


def shingles(text: str) -> set[str]:
    return {text[k : k + 5] for k in range(len(text) - 4)}


def jaccard(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


def sentences(count: int) -> list[str]:
    return [" ".join(DICE.choices(WORDS, k=20)) for _ in range(count)]


def test_recall_of_planted_near_duplicates_is_at_least_98_percent() -> None:
    originals = sentences(2000)
    planted = []
    for text in originals[:1000]:
        words = text.split()
        words[DICE.randrange(20)] = DICE.choice(WORDS)
        planted.append(" ".join(words))
    texts = originals + planted
    expected = {2000 + i for i in range(1000) if jaccard(originals[i], planted[i]) >= 0.8}
    assert len(expected) > 500  # one word of twenty: most stay above 0.8
    found = find_similar_earlier(texts, 0.8)
    assert len(expected & found.keys()) / len(expected) >= 0.98
    assert set(found) == expected & found.keys()  # nothing is reported wrongly
    assert all(jaccard(texts[later], texts[earlier]) >= 0.8 for later, earlier in found.items())


@pytest.mark.parametrize("texts", [[], ["alone"], ["", ""], ["ab", "cd"], ["abc", "abd", "xyz"]])
def test_few_and_short_texts(texts: list[str]) -> None:
    same = {1: 0} if texts == ["", ""] else {}
    assert find_similar_earlier(texts, 0.8) == same


def test_the_earlier_text_comes_first() -> None:
    text = sentences(1)[0]
    assert find_similar_earlier([text, *sentences(50), text, text + "!"], 0.8).keys() == {51, 52}


def test_many_texts_that_are_all_alike_stay_cheap() -> None:
    """5,000 texts with one long instruction in front; comparing all pairs would be 12 million."""
    instruction = " ".join(WORDS[:60])
    texts = [f"{instruction} {i}" for i in range(5_000)]
    began = time.perf_counter()
    found = find_similar_earlier(texts, 0.8)
    assert len(found) > 4_950
    assert time.perf_counter() - began < 30


@pytest.mark.parametrize("words", [5, 8, 40, 300])
def test_near_duplicates_are_found_at_any_length(words: int) -> None:
    """Short texts leave most bins of a signature empty, long ones fill each many times."""
    dice = random.Random(words)
    originals = [" ".join(dice.choices(WORDS, k=words)) for _ in range(800)]
    planted = [text[:-3] + "".join(dice.choices("xyz", k=3)) for text in originals]
    expected = {800 + i for i in range(800) if jaccard(originals[i], planted[i]) >= 0.8}
    assert len(expected) > 300
    found = find_similar_earlier(originals + planted, 0.8)
    assert len(expected & found.keys()) / len(expected) >= 0.98
    assert set(found) <= expected


@pytest.mark.parametrize(
    "alphabet", ["abcdefgh", "\u4f60\u597d\u4e16\u754c\u4eba\u5929", "a\u0301\U0001f600 b"]
)
def test_the_share_of_equal_hashes_estimates_the_similarity(alphabet: str) -> None:
    dice = random.Random(1)
    errors = []
    for _ in range(300):
        text = "".join(dice.choices(alphabet, k=120))
        other = text[:60] + "".join(dice.choices(alphabet, k=60))
        first, second = _compute_signatures([text, other])
        errors.append(float((first == second).mean()) - jaccard(text, other))
    assert abs(sum(errors) / len(errors)) < 0.02  # its standard error is 0.003
    assert max(map(abs, errors)) < 0.3


def test_a_signature_does_not_depend_on_the_texts_around_it() -> None:
    texts = [*sentences(30), "", "a", "short"]
    together = _compute_signatures(texts)
    for i in (0, 7, 29, 30, 31, 32):
        assert (_compute_signatures([texts[i]])[0] == together[i]).all()
