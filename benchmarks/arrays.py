"""Token sequences with their masks, as both sides read them: a file that neither side can read
differently."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Arrays:
    """(token ids, mask) of each sequence; a mask is 1 where the token is trained."""

    sequences: tuple[tuple[list[int], list[int]], ...]

    @classmethod
    def of(cls, sequences: Iterable[tuple[list[int], list[int]]]) -> "Arrays":
        return cls(tuple(sequences))

    @classmethod
    def read(cls, path: Path) -> "Arrays":
        file = np.load(path)
        cuts = file["starts"][1:-1]
        tokens, weights = np.split(file["tokens"], cuts), np.split(file["weights"], cuts)
        return cls.of(
            (t.tolist(), w.astype(int).tolist()) for t, w in zip(tokens, weights, strict=True)
        )

    def write(self, path: Path) -> None:
        tokens, weights, starts = self.joined()
        np.savez(path, tokens=tokens, weights=weights, starts=starts)

    def joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(token ids, loss weights, where each sequence begins and the last ends)."""
        starts = np.cumsum([0, *(len(tokens) for tokens, _ in self.sequences)], dtype=np.int64)
        tokens = np.concatenate([np.asarray(tokens, np.int32) for tokens, _ in self.sequences])
        weights = np.concatenate([np.asarray(mask, np.float32) for _, mask in self.sequences])
        return tokens, weights, starts

    def first(self, sequences: int) -> "Arrays":
        return Arrays(self.sequences[:sequences])

    def in_order(self, examples: Sequence[int], sequences_each: int) -> "Arrays":
        """The sequences of these examples, in this order."""
        return Arrays(
            tuple(
                self.sequences[e * sequences_each + s]
                for e in examples
                for s in range(sequences_each)
            )
        )

    @property
    def tokens(self) -> int:
        return sum(len(tokens) for tokens, _ in self.sequences)

    @property
    def trained(self) -> int:
        return sum(sum(mask) for _, mask in self.sequences)

    def digest(self) -> str:
        """SHA-256 over tokens and masks, whatever their order (the same as `peers/train.py`)."""
        each = sorted(
            hashlib.sha256(json.dumps(list(pair)).encode()).hexdigest() for pair in self.sequences
        )
        return hashlib.sha256("".join(each).encode()).hexdigest()
