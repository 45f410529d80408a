"""MinHash finds what it promises, reports nothing wrongly, and stays cheap where everything is alike."""

import random
import time

import pytest

from tunesmith.data.check.minhash import similar_to_earlier

DICE = random.Random(5)
WORDS = ["".join(DICE.choices("abcdefghijklmnopqrstuvwxyz", k=DICE.randint(3, 9))) for _ in range(3000)]


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
    found = similar_to_earlier(texts, 0.8)
    assert len(expected & found.keys()) / len(expected) >= 0.98
    assert set(found) == expected & found.keys()  # nothing is reported wrongly
    assert all(jaccard(texts[later], texts[earlier]) >= 0.8 for later, earlier in found.items())


@pytest.mark.parametrize("texts", [[], ["alone"], ["", ""], ["ab", "cd"], ["abc", "abd", "xyz"]])
def test_few_and_short_texts(texts: list[str]) -> None:
    same = {1: 0} if texts == ["", ""] else {}
    assert similar_to_earlier(texts, 0.8) == same


def test_the_earlier_text_comes_first() -> None:
    text = sentences(1)[0]
    assert similar_to_earlier([text, *sentences(50), text, text + "!"], 0.8).keys() == {51, 52}


def test_many_texts_that_are_all_alike_stay_cheap() -> None:
    """5,000 texts with one long instruction in front; comparing all pairs would be 12 million."""
    instruction = " ".join(WORDS[:60])
    texts = [f"{instruction} {i}" for i in range(5_000)]
    began = time.perf_counter()
    found = similar_to_earlier(texts, 0.8)
    assert len(found) > 4_950
    assert time.perf_counter() - began < 30
