"""While a choice is made, the same question is encoded once; what is measured pays for every
search."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.providers.embedder import LocalEmbedder


class Encoder:
    """Encodes a text as its length, and counts."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        return np.array([[float(len(text)), 1.0] for text in texts], np.float32)


def test_candidates_of_a_choice_encode_a_question_once_and_what_is_measured_encodes_each_time() -> (
    None
):
    """Choosing how much to retrieve encoded 24 questions sixteen times: two of five minutes of a
    decision."""
    embedder, encoder = LocalEmbedder(), Encoder()
    embedder.__dict__["_encoder"] = encoder
    with embedder.remembering():
        for _ in range(3):
            assert embedder.embed(["a", "bb", "a"]).tolist() == [[1.0, 1.0], [2.0, 1.0], [1.0, 1.0]]
        assert embedder.embed(["bb", "ccc"]).tolist() == [[2.0, 1.0], [3.0, 1.0]]
    assert encoder.asked == [["a", "bb"], ["ccc"]]
    for _ in range(2):
        embedder.embed(["a"])
    assert encoder.asked[2:] == [["a"], ["a"]]
