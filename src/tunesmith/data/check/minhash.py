"""Find similar texts without comparing all pairs: MinHash with banded locality-sensitive hashing.

A text is its set of shingles, all runs of 5 characters. For a random hash, the smallest hash over
the shingles is equal for two texts with probability J, their Jaccard similarity. With 80 such
hashes in 16 bands of 5, two texts share a whole band with probability 1 - (1 - J^5)^16: 99.8 % at J
= 0.8, 40 % at 0.5, 4 % at 0.3. Texts that share a band are candidates; the fraction of equal hashes
estimates J and eliminates most of them; the exact similarity of the shingles decides. So there are
no false positives and few false negatives.

One hash of each shingle serves all 80 (see `_compute_signatures`), so the cost of a text does not
depend on the number of hashes.

Source: Broder (1997), On the resemblance and containment of documents; Leskovec, Rajaraman, Ullman,
Mining of Massive Datasets, chapter 3. Shapes: D = texts, S = shingles of a block of concatenated
texts, H = hashes, R = hashes of a band, P = pairs of texts, E = empty bins, A = attempts, K = texts
that share a band.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

SHINGLE_CHARACTERS = 5
BANDS = 16
ROWS_PER_BAND = 5
BLOCK_CHARACTERS = 2**16
"""Characters hashed per block: the arrays for them fit in a core's cache, which halves the time. A
longer text is hashed in pieces, so that memory does not grow with its length."""
MAX_PAIR_DISTANCE = 10
"""Where many texts share a band, each is compared with the 10 before it: the cost stays linear."""
EMPTY_BIN = np.uint32(0xFFFFFFFF)
MAX_ATTEMPTS = 64
COLLISION_PROBABILITY = 1 / 256
"""Probability that 8 bits of two hashes are equal (Li, Koenig 2010, b-Bit Minwise Hashing)."""
MAX_COMPARED = 3
"""Candidates of a text that are compared exactly: the 3 most similar by estimate."""
ACROSS_BANDS, ACROSS_ROWS_PER_BAND = 25, 4
ACROSS_WINDOW = 12
MAX_CANDIDATES = 10
ESTIMATE_MARGIN = 0.2
"""At J = 0.8, an estimate from 80 hashes is 0.2 too low 3 times in 100,000 (binomial)."""


def find_similar_earlier(
    texts: Sequence[str], similarity: float, among: int | None = None
) -> dict[int, int]:
    """Index of a text -> index of an earlier one with at least this Jaccard similarity, if any.

    With `among`, the first `among` texts are only compared with the others, never with one another.
    """
    if len(texts) < 2:
        return {}
    earlier_P, later_P = _find_candidates(
        _compute_signatures(texts), similarity - ESTIMATE_MARGIN, among or 0
    )
    found: dict[int, int] = {}
    for earlier, later in zip(earlier_P.tolist(), later_P.tolist(), strict=True):
        if later not in found and jaccard(texts[earlier], texts[later]) >= similarity:
            found[later] = earlier
    return found


def find_similar_across(
    held_out: Sequence[str], others: Sequence[str], min_similarity: float
) -> list[tuple[int, int]]:
    """(index in `held_out`, index in `others`) of pairs with at least this estimated similarity.

    These are candidates for an exact comparison: for each text on either side at most the
    `MAX_CANDIDATES` most similar. The 25 bands of 4 find a pair with probability 97 % at J = 0.6,
    99.99 % at 0.75; where many texts share a band, a held-out one is paired with `ACROSS_WINDOW` of
    the others.
    """
    if not held_out or not others:
        return []
    signatures_DH = _compute_signatures([*held_out, *others], ACROSS_BANDS * ACROSS_ROWS_PER_BAND)
    found = [np.zeros(0, np.int64)]
    for begin in range(0, ACROSS_BANDS * ACROSS_ROWS_PER_BAND, ACROSS_ROWS_PER_BAND):
        found.append(
            _find_pairs_across(
                signatures_DH[:, begin : begin + ACROSS_ROWS_PER_BAND], len(held_out)
            )
        )
    pairs_P = np.sort(np.concatenate(found))
    # Sorted, so a pair found in several bands equals its predecessor and is dropped.
    pairs_P = pairs_P[np.diff(pairs_P, prepend=-1) > 0]
    estimate_P = _estimate_similarity(signatures_DH, pairs_P)
    pairs_P, estimate_P = (
        pairs_P[estimate_P >= min_similarity],
        estimate_P[estimate_P >= min_similarity],
    )
    is_kept_P = np.zeros(len(pairs_P), bool)
    for side_P in np.divmod(pairs_P, len(signatures_DH)):
        order_P = np.lexsort((-estimate_P, side_P))
        is_kept_P[order_P[_rank_in_run(side_P[order_P]) < MAX_CANDIDATES]] = True
    first_P, second_P = np.divmod(pairs_P[is_kept_P], len(signatures_DH))
    return list(zip(first_P.tolist(), (second_P - len(held_out)).tolist(), strict=True))


def _find_pairs_across(band_DR: np.ndarray, border: int) -> np.ndarray:
    """first * D + second for texts on both sides of the border with equal rows in this band."""
    key_D = _hash_bands(band_DR)
    order = np.argsort(key_D[border:], kind="stable")
    keys = key_D[border:][order]
    begin = np.searchsorted(keys, key_D[:border], side="left")
    count = np.searchsorted(keys, key_D[:border], side="right") - begin
    parts = [np.zeros(0, np.int64)]
    for k in range(ACROSS_WINDOW):
        first = np.flatnonzero(count > k)
        place = (
            # evenly spaced over the texts that share the band
            begin[first] + k * np.maximum(count[first], ACROSS_WINDOW) // ACROSS_WINDOW
        )
        second = order[place] + border
        parts.append(first * len(band_DR) + second)
    return np.concatenate(parts)


def _compute_signatures(texts: Sequence[str], hashes: int = BANDS * ROWS_PER_BAND) -> np.ndarray:
    """MinHash signatures, shape (D, H) uint8, in one pass over the shingles for any H.

    One permutation hashing: a shingle's hash selects one of H bins, and the smallest hash of each
    bin is the value. An empty bin takes the value of another bin of the same text; which one is
    drawn from the bin's number alone, so two texts borrow in the same way, and equal values
    estimate J without bias (Shrivastava 2017, Optimal Densification for Fast and Accurate Minwise
    Hashing). The low 8 bits of each value are stored (the high bits of a minimum are mostly 0), so
    that a million texts take 80 MB; `_estimate_similarity` corrects for values that are equal by
    chance.
    """
    # A fixed seed: every call must borrow alike, or signatures could not be compared.
    sources_AH = np.random.default_rng(0).integers(0, hashes, (MAX_ATTEMPTS, hashes))
    signatures_DH = np.empty((len(texts), hashes), np.uint8)
    begin = 0
    for block in _iterate_blocks(texts):
        signatures_DH[begin : begin + len(block)] = _compute_block_signatures(
            block, hashes, sources_AH
        )
        begin += len(block)
    return signatures_DH


def _iterate_blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in order, in blocks of about `BLOCK_CHARACTERS` characters."""
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


def _compute_block_signatures(
    texts: Sequence[str], hashes: int, sources_AH: np.ndarray
) -> np.ndarray:
    smallest = np.full(len(texts) * hashes, EMPTY_BIN, np.uint32)
    for pieces, text_D in _pieces(texts):
        hashes_S, counts_D = _hash_shingles(pieces)
        # The high 32 bits select the bin (multiply-shift, no modulo), the low 32 are the value.
        bins_S = ((hashes_S >> np.uint64(32)) * np.uint64(hashes) >> np.uint64(32)).astype(np.int64)
        bins_S += np.repeat(text_D * hashes, counts_D)
        # minimum.at and not indexing: several shingles of one call fall into the same bin.
        np.minimum.at(smallest, bins_S, (hashes_S & np.uint64(0xFFFFFFFF)).astype(np.uint32))
    smallest_DH = smallest.reshape(len(texts), hashes)
    _fill_empty_bins(smallest_DH, sources_AH)
    return (smallest_DH & np.uint32(0xFF)).astype(np.uint8)


def _pieces(texts: Sequence[str]) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    """(pieces, text_D: index of each piece's text): the texts of a block, a long one in pieces.

    Consecutive pieces overlap so that every shingle lies within one of them.
    """
    *_, last = texts
    if len(last) <= 2 * BLOCK_CHARACTERS:
        yield texts, np.arange(len(texts))
        return
    if len(texts) > 1:  # only the last text of a block can be longer than a block
        yield texts[:-1], np.arange(len(texts) - 1)
    for begin in range(0, len(last) - SHINGLE_CHARACTERS + 1, BLOCK_CHARACTERS):
        yield (
            [last[begin : begin + BLOCK_CHARACTERS + SHINGLE_CHARACTERS - 1]],
            np.array([len(texts) - 1]),
        )


def _hash_shingles(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(uint64 hashes_S of all shingles, concatenated; counts_D, each text's number of shingles)."""
    padded = [text.ljust(SHINGLE_CHARACTERS) for text in texts]
    # surrogatepass: texts under check may still contain lone surrogates.
    characters = np.frombuffer(
        "".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32
    ).astype(np.uint64)
    lengths_D = np.array([len(text) for text in padded])
    ends_D = np.cumsum(lengths_D)
    hashes = characters[: len(characters) - SHINGLE_CHARACTERS + 1].copy()
    for k in range(1, SHINGLE_CHARACTERS):
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += characters[k : len(hashes) + k]
    is_inside = np.ones(len(hashes), bool)  # a shingle must not run from one text into the next
    for k in range(1, SHINGLE_CHARACTERS):
        is_inside[ends_D[:-1] - k] = False
    return _mix_bits(hashes[is_inside]), lengths_D - SHINGLE_CHARACTERS + 1


def _mix_bits(values: np.ndarray) -> np.ndarray:
    """Let every input bit affect every output bit (SplitMix64; Steele, Lea, Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _fill_empty_bins(smallest_DH: np.ndarray, sources_AH: np.ndarray) -> None:
    """Fill every empty bin, in place, from the first bin in its list of sources that is not empty.

    After `MAX_ATTEMPTS` the rest take the first value of the text: every text has a shingle.
    """
    flat, hashes = smallest_DH.reshape(-1), smallest_DH.shape[1]
    # A copy, because a bin that was filled must not lend its borrowed value to others.
    given = flat.copy()
    empty_E = np.flatnonzero(flat == EMPTY_BIN)
    for sources_H in sources_AH:
        if not len(empty_E):
            return
        bin_E = empty_E % hashes
        found_E = given[empty_E - bin_E + sources_H[bin_E]]
        flat[empty_E] = found_E
        empty_E = empty_E[found_E == EMPTY_BIN]
    first_E = (given.reshape(-1, hashes)[empty_E // hashes] != EMPTY_BIN).argmax(axis=1)
    flat[empty_E] = given[empty_E // hashes * hashes + first_E]


def _find_candidates(
    signatures_DH: np.ndarray, min_similarity: float, among: int
) -> tuple[np.ndarray, np.ndarray]:
    """(earlier_P, later_P) of texts that share a band and have at least this estimated similarity.

    The most similar pairs of a later text come first, and at most `MAX_COMPARED` of them are
    stored, band after band: memory grows with the texts, not with the pairs. With `among`, only
    pairs across that border.
    """
    count = len(signatures_DH)
    pairs_P, estimate_P = np.zeros(0, np.int64), np.zeros(0)
    for begin in range(0, BANDS * ROWS_PER_BAND, ROWS_PER_BAND):
        found = [(pairs_P, estimate_P)]
        for new_P in _find_band_pairs(signatures_DH[:, begin : begin + ROWS_PER_BAND]):
            if among:
                new_P = new_P[(new_P // count < among) & (new_P % count >= among)]
            new_estimate_P = _estimate_similarity(signatures_DH, new_P)
            is_likely_P = new_estimate_P >= min_similarity  # drops most pairs of a band early
            found.append((new_P[is_likely_P], new_estimate_P[is_likely_P]))
        pairs_P, estimate_P = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order_P = np.lexsort((pairs_P, -estimate_P, pairs_P % count))
        pairs_P, estimate_P = pairs_P[order_P], estimate_P[order_P]
        is_first_P = np.diff(pairs_P, prepend=-1) != 0  # also found in an earlier band
        pairs_P, estimate_P = pairs_P[is_first_P], estimate_P[is_first_P]
        is_kept_P = _rank_in_run(pairs_P % count) < MAX_COMPARED
        pairs_P, estimate_P = pairs_P[is_kept_P], estimate_P[is_kept_P]
    return np.divmod(pairs_P, count)


def _estimate_similarity(signatures_DH: np.ndarray, pairs_P: np.ndarray) -> np.ndarray:
    """J estimated as the fraction of equal hashes, corrected for chance; computed in blocks."""
    # A uint8 sum avoids a temporary array of 8 bytes for each comparison.
    hashes = signatures_DH.shape[1]  # at most 255, so that a byte holds their count
    shares = [np.zeros(0)]
    for begin in range(0, len(pairs_P), 2**16):
        earlier_P, later_P = np.divmod(pairs_P[begin : begin + 2**16], len(signatures_DH))
        is_equal_PH = signatures_DH[earlier_P] == signatures_DH[later_P]
        shares.append(is_equal_PH.view(np.uint8).sum(axis=1, dtype=np.uint8) / hashes)
    return (np.concatenate(shares) - COLLISION_PROBABILITY) / (1 - COLLISION_PROBABILITY)


def _rank_in_run(values_P: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal values, shape (P,)."""
    is_first_P = np.diff(values_P, prepend=-1) != 0
    places_P = np.arange(len(values_P))
    return places_P - np.maximum.accumulate(np.where(is_first_P, places_P, 0))


def _hash_bands(band_DR: np.ndarray) -> np.ndarray:
    """One number for the rows of a band, shape (D,) uint64: equal rows give equal keys."""
    keys_D = np.zeros(len(band_DR), np.uint64)
    for row_D in band_DR.T:
        keys_D ^= row_D
        keys_D *= np.uint64(0x9E3779B97F4A7C15)
        keys_D ^= keys_D >> np.uint64(29)
    return keys_D


def _find_band_pairs(band_DR: np.ndarray) -> Iterator[np.ndarray]:
    """earlier * D + later for texts with equal rows in this band, near each other.

    They are at most `MAX_PAIR_DISTANCE` apart among the texts with the same key. One array is
    yielded for each distance: where most texts are similar, all pairs together would be many times
    the number of texts.
    """
    keys_D = _hash_bands(band_DR)
    repeated = _find_repeated(keys_D)
    if not len(repeated):
        return
    # A table of the keys' low bits rules out most others, far faster than a binary search each.
    last_bits = np.uint64((1 << (8 * len(repeated)).bit_length()) - 1)
    is_marked = np.zeros(int(last_bits) + 1, bool)
    is_marked[repeated & last_bits] = True
    order_K = np.flatnonzero(is_marked[keys_D & last_bits])
    place_K = np.minimum(np.searchsorted(repeated, keys_D[order_K]), len(repeated) - 1)
    order_K = order_K[repeated[place_K] == keys_D[order_K]]
    order_K = order_K[np.argsort(keys_D[order_K], kind="stable")]  # stable: in text order
    keys_K = keys_D[order_K]
    for distance in range(1, MAX_PAIR_DISTANCE + 1):
        same = np.flatnonzero(keys_K[distance:] == keys_K[:-distance])
        if not len(same):
            break
        yield order_K[same] * len(keys_D) + order_K[same + distance]


def _find_repeated(keys_D: np.ndarray) -> np.ndarray:
    """The keys that occur more than once, sorted.

    Sorting values alone is far cheaper than argsort, and most texts share no band with another one.
    """
    sorted_D = np.sort(keys_D)
    repeated = sorted_D[1:][sorted_D[1:] == sorted_D[:-1]]
    once: np.ndarray = repeated[np.diff(repeated, prepend=repeated[:1] + np.uint64(1)) != 0]
    return once


def jaccard(a: str, b: str) -> float:
    """The Jaccard similarity of two texts' shingles, from 0 to 1."""
    shingles_a, shingles_b = _build_shingles(a), _build_shingles(b)
    both = len(shingles_a & shingles_b)
    return both / (len(shingles_a) + len(shingles_b) - both)


def _build_shingles(text: str) -> set[str]:
    padded = text.ljust(SHINGLE_CHARACTERS)
    return {padded[k : k + SHINGLE_CHARACTERS] for k in range(len(padded) - SHINGLE_CHARACTERS + 1)}
