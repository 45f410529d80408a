"""Worlds whose errors are known."""

import json

import pytest
from worlds import World, example, judged, label_examples

from tunesmith.records import Example


@pytest.fixture(scope="session")
def label_world() -> World:
    """120 questions; 18 of 30 refunds are taken for returns, 2 other answers are wrong, one names
    no label."""
    train, test = label_examples(200, seed=1), label_examples(120, seed=2)
    texts = [one.answer for one in test]
    refunds = [i for i, one in enumerate(test) if one.answer == "refund"]
    for i in refunds[:18]:
        texts[i] = "return"
    others = [i for i, one in enumerate(test) if one.answer == "login"]
    texts[others[0]], texts[others[1]] = "arrival", "I do not know"
    return *judged(test, texts, "label", train), test, train


@pytest.fixture(scope="session")
def json_world() -> World:
    """60 names; the suffix is missing in 15 answers, one surname is wrong, one answer has a field
    too many, one is not JSON."""

    def named(line: int, i: int, suffix: bool) -> Example:
        parts = {"given": f"Ann{i}", "surname": f"Smith{i}", **({"suffix": "Jr"} if suffix else {})}
        return example(line, f"Ann{i} Smith{i}{' Jr' if suffix else ''}", json.dumps(parts))

    train = [named(i + 1, i, i % 2 == 0) for i in range(100, 180)]
    test = [named(i + 1, i, i % 2 == 0) for i in range(60)]
    texts = []
    for i, one in enumerate(test):
        value = json.loads(one.answer)
        if i % 4 == 0:
            del value["suffix"]
        if i == 1:
            value["surname"] = "Smyth"
        if i == 3:
            value["title"] = "Dr"
        texts.append("Ann, I think" if i == 5 else json.dumps(value))
    return *judged(test, texts, "json", train), test, train
