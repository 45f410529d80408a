"""Fold answers before comparison: which differences of spelling are ignored, chosen for a data set.

    edges and case    NFKC, case, white space, and marks at the edges (quotes, brackets,
                      emphasis, punctuation)
    edges             the same without case: NFC, white space and marks at the edges
    white space       NFC and white space
    nothing           only white space at the ends

Folding must never turn one answer into another: "mW" is not "MW" and "Polish" not "polish" where
both are in use. So the most tolerant of the four is used under which the expected answers stay as
distinct as they are (`choose_folding`). A spelling that is used once next to a common one ("Spam"
next to "spam") is a typo and does not count.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

SENTENCE_PUNCTUATION = ".,;:!?。、؟،؛।"
MAX_COMBINING_MARKS = 30
"""Most consecutive combining marks in real text (stream-safe format, Unicode Annex 15, 13)."""
PIECE_CHARACTERS = 2**18
MAX_CACHED_CHARACTERS = 100
"""Longer texts are not cached: they hardly ever repeat."""
MAX_TYPO_FRACTION = 0.05
"""A spelling with at most this fraction of the uses of a word is a typo."""


@dataclass(frozen=True, slots=True)
class Folding:
    """How texts are normalized before comparison.

    `fold` applies to a whole text, `fold_inside` to a part of one, without the edges.
    `ignored_differences` and `compared_differences` describe it in words.
    """

    fold: Callable[[str], str]
    fold_inside: Callable[[str], str]
    ignored_differences: str
    compared_differences: str

    def __call__(self, text: str) -> str:
        return (
            _fold_cached(self.fold, text) if len(text) <= MAX_CACHED_CHARACTERS else self.fold(text)
        )


@lru_cache(maxsize=4096)
def _fold_cached(fold: Callable[[str], str], text: str) -> str:
    """Labels are few, and each is folded once instead of once per example."""
    return fold(text)


def normalize_answer(text: str) -> str:
    """NFKC, case folded, single spaces, no quotes, brackets, emphasis or punctuation at the edges.

    Signs that change a value stay: -5, .5, 5%, C#. Text that consists only of such marks is
    unchanged.
    """
    return _trim_edges(_fold_case(text))


def _fold_case(text: str) -> str:
    text = unicodedata.normalize("NFKC", strip_excess_marks(text))
    # casefold can produce text that is not NFKC: normalize it again. U+2212 is the minus sign.
    return _fold_spaces(unicodedata.normalize("NFKC", text.casefold()).replace("\u2212", "-"))


def _fold_spaces(text: str) -> str:
    return space_once(unicodedata.normalize("NFC", strip_excess_marks(text)))


def space_once(text: str) -> str:
    """The words of a text with single spaces; long texts are processed in pieces (`_pieces`)."""
    if len(text) <= PIECE_CHARACTERS:
        return " ".join(text.split())
    return " ".join(filter(None, (" ".join(piece.split()) for piece in _pieces(text))))


def _pieces(text: str) -> Iterator[str]:
    """A long text cut at spaces: a list of all its words would take ten times its memory."""
    begin = 0
    while begin < len(text):
        end = text.find(" ", begin + PIECE_CHARACTERS)
        end = len(text) if end < 0 else end
        yield text[begin:end]
        begin = end + 1


def _fold_edges(text: str) -> str:
    return _trim_edges(_fold_spaces(text))


EDGE_AND_CASE_FOLDING = Folding(normalize_answer, _fold_case, "case and marks at the edges", "")
EDGE_FOLDING = Folding(_fold_edges, _fold_spaces, "marks at the edges", "case counts")
SPACE_FOLDING = Folding(
    _fold_spaces, _fold_spaces, "white space", "case and marks at the edges count"
)
NO_FOLDING = Folding(str.strip, str.strip, "nothing", "every character counts")
FOLDINGS = (EDGE_AND_CASE_FOLDING, EDGE_FOLDING, SPACE_FOLDING, NO_FOLDING)


def choose_folding(answers: Iterable[str], min_uses: int = 2) -> Folding:
    """The most tolerant folding that keeps these expected answers distinct.

    `min_uses`: as in `find_merged_spellings`.
    """
    uses = Counter(answer.strip() for answer in answers)
    return next(
        folding
        for folding in FOLDINGS
        if folding is NO_FOLDING or not find_merged_spellings(folding, uses, min_uses)
    )


def find_merged_spellings(
    folding: Folding, uses: Counter[str], min_uses: int = 2
) -> list[tuple[str, str]]:
    """Pairs of spellings in use that become equal under the folding, the more common one first.

    A spelling is in use, and not a typo, if it occurs `min_uses` times and has more than
    `MAX_TYPO_FRACTION` of the uses.
    """
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for answer, _ in uses.most_common():
        spellings[folding(answer)].append(answer)
    pairs = []
    for together in spellings.values():
        first, *others = together
        total = sum(uses[one] for one in together)
        for other in others:
            is_in_use = uses[other] >= min_uses and uses[other] > MAX_TYPO_FRACTION * total
            # White space is never a difference of meaning, so it does not count as merging.
            if is_in_use and SPACE_FOLDING(other) != SPACE_FOLDING(first):
                pairs.append((first, other))
    return pairs


def _trim_edges(folded: str) -> str:
    begin, end = 0, len(folded)
    while begin < end and is_edge_character(folded[begin]):
        begin += 1
    while end > begin and (
        is_edge_character(folded[end - 1]) or folded[end - 1] in SENTENCE_PUNCTUATION
    ):
        end -= 1
    # Text of nothing but marks, such as "?", stays: as an answer it differs from an empty one.
    return folded[begin:end] or folded


def strip_excess_marks(text: str) -> str:
    """Remove excessive consecutive combining marks: normalization sorts them in quadratic time."""
    if len(text) < 1_000 or text.isascii():
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_COMBINING_MARKS:
            kept.append(character)
    return "".join(kept)


def is_edge_character(character: str) -> bool:
    """Whether this is a quote, a bracket, emphasis or a space."""
    return character in " \"'`*¿¡" or unicodedata.category(character) in ("Ps", "Pe", "Pi", "Pf")
