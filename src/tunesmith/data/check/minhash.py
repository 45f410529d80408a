"""Pairs of similar texts among many, without comparing all pairs: MinHash with banded locality-sensitive hashing.

A text is its set of shingles, all runs of 5 characters. For a random hash, the smallest hash over the shingles is equal
for two texts with probability J, their Jaccard similarity. With 64 such hashes in 16 bands of 4, two texts share a whole
band with probability 1 - (1 - J^4)^16: 99.98 % at J = 0.8, 64 % at 0.5, 12 % at 0.3. Texts that share a band are
candidates; the exact Jaccard similarity of their shingles decides. So nothing is reported wrongly, and little is missed.

Source: Broder (1997), On the resemblance and containment of documents; Leskovec, Rajaraman, Ullman, Mining of Massive
Datasets, chapter 3. D = texts, S = shingles of all texts of a block laid end to end, H = hashes.
"""

from collections.abc import Iterator, Sequence

import numpy as np

SHINGLE = 5
BANDS = 16
ROWS = 4
BLOCK_CHARACTERS = 2**20
LARGEST_BUCKET = 50
"""In a larger bucket each text is compared with the 50 before it only, so that 100,000 equal texts stay cheap."""

Pair = tuple[int, int]


def near_duplicate_pairs(texts: Sequence[str], similarity: float) -> list[Pair]:
    """All pairs (a, b), a < b, found whose shingle sets have at least this Jaccard similarity; empty texts have none."""
    if len(texts) < 2:
        return []
    signatures_DH = _signatures(texts)
    pairs = sorted({pair for band in range(BANDS) for pair in _candidates(signatures_DH[:, band * ROWS :][:, :ROWS])})
    shingles: dict[int, set[str]] = {}
    return [pair for pair in pairs if _jaccard(texts, *pair, shingles) >= similarity]


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures, shape (D, H) uint32."""
    multipliers_H, addends_H = np.random.default_rng(0).integers(1, 2**63, (2, BANDS * ROWS), np.uint64)
    multipliers_H |= np.uint64(1)
    parts = [_block_signatures(block, multipliers_H, addends_H) for block in _blocks(texts)]
    return np.concatenate(parts)


def _blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, in blocks of about a million characters."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _block_signatures(texts: Sequence[str], multipliers_H: np.ndarray, addends_H: np.ndarray) -> np.ndarray:
    padded = [text.ljust(SHINGLE) for text in texts]
    characters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths_D = np.array([len(text) for text in padded])
    ends_D = np.cumsum(lengths_D)
    hashes = np.zeros(len(characters) - SHINGLE + 1, np.uint64)
    for k in range(SHINGLE):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + characters[k : len(hashes) + k]
    is_inside = np.ones(len(hashes), bool)  # a shingle must not run from one text into the next
    for k in range(1, SHINGLE):
        is_inside[ends_D[:-1] - k] = False
    hashes_S = hashes[is_inside] ^ (hashes[is_inside] >> np.uint64(29))
    counts_D = lengths_D - SHINGLE + 1
    starts_D = np.cumsum(counts_D) - counts_D
    columns = [
        np.minimum.reduceat((hashes_S * multiplier + addend) >> np.uint64(32), starts_D).astype(np.uint32)
        for multiplier, addend in zip(multipliers_H, addends_H, strict=True)
    ]
    return np.stack(columns, axis=1)


def _candidates(band_DR: np.ndarray) -> Iterator[Pair]:
    """Pairs of texts whose rows of this band are all equal."""
    order_D = np.lexsort(band_DR.T)
    is_same = (band_DR[order_D[1:]] == band_DR[order_D[:-1]]).all(axis=1)
    begin = 0
    for end in np.append(np.flatnonzero(~is_same) + 1, len(order_D)):
        bucket = np.sort(order_D[begin:end]).tolist()
        for k in range(1, len(bucket)):
            for earlier in bucket[max(0, k - LARGEST_BUCKET) : k]:
                yield earlier, bucket[k]
        begin = end


def _jaccard(texts: Sequence[str], a: int, b: int, shingles: dict[int, set[str]]) -> float:
    for i in (a, b):
        if i not in shingles:
            text = texts[i].ljust(SHINGLE)
            shingles[i] = {text[k : k + SHINGLE] for k in range(len(text) - SHINGLE + 1)}
    both = len(shingles[a] & shingles[b])
    return both / (len(shingles[a]) + len(shingles[b]) - both)
