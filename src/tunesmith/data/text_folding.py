"""Which differences of writing are forgiven when two answers are compared, and how many of them a set of answers bears.

    edges and case    NFKC, case, white space, quotes, brackets, emphasis and sentence marks at the edges
    edges             the same without case: NFC, white space and marks at the edges
    white space       NFC and white space
    nothing           only white space at the ends

Folding must never turn one answer into another one: "mW" is not "MW" and "Polish" not "polish" where both are in use.
So the most forgiving of the four is taken under which the expected answers stay as different as they are
(`choose_folding`). A spelling that is used once beside a common one ("Spam" beside "spam") is a slip and does not
count.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

SENTENCE_PUNCTUATION = ".,;:!?。、؟،؛।"
MAX_COMBINING_MARKS = 30
"""Combining marks in a row that text in use has (the stream-safe format, Unicode Annex 15, section 13)."""
PIECE_CHARACTERS = 2**18
MAX_CACHED_CHARACTERS = 100
"""Longer texts are folded anew each time: they hardly ever come twice."""
MAX_TYPO_FRACTION = 0.05
"""A spelling with at most this share of the uses of a word is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class Folding:
    """How texts are made alike before they are compared; `forgives` and `compares` say it in words.

    `write` is what happens to every part of a text, edges aside.
    """

    fold: Callable[[str], str]
    fold_inside: Callable[[str], str]
    ignored_differences: str
    compared_differences: str

    def __call__(self, text: str) -> str:
        return _fold_cached(self.fold, text) if len(text) <= MAX_CACHED_CHARACTERS else self.fold(text)


@lru_cache(maxsize=4096)
def _fold_cached(fold: Callable[[str], str], text: str) -> str:
    """Labels are few and are folded once for every example that has them."""
    return fold(text)


def normalize_answer(text: str) -> str:
    """NFKC, case folded, single spaces, no quotes, brackets, emphasis or sentence marks at the edges.

    Signs that change a value stay: -5, .5, 5%, C#. Text that is nothing but such marks stays as it is.
    """
    return _trim_edges(_fold_case(text))


def _fold_case(text: str) -> str:
    text = unicodedata.normalize("NFKC", strip_excess_marks(text))
    return _fold_spaces(unicodedata.normalize("NFKC", text.casefold()).replace("\u2212", "-"))


def _fold_spaces(text: str) -> str:
    return space_once(unicodedata.normalize("NFC", strip_excess_marks(text)))


def space_once(text: str) -> str:
    """The words of a text with one space between them; long texts are read in pieces (`_pieces`)."""
    if len(text) <= PIECE_CHARACTERS:
        return " ".join(text.split())
    return " ".join(filter(None, (" ".join(piece.split()) for piece in _pieces(text))))


def _pieces(text: str) -> Iterator[str]:
    """A long text cut at spaces: a list of all its words would be ten times as large as the text."""
    begin = 0
    while begin < len(text):
        end = text.find(" ", begin + PIECE_CHARACTERS)
        end = len(text) if end < 0 else end
        yield text[begin:end]
        begin = end + 1


def _fold_edges(text: str) -> str:
    return _trim_edges(_fold_spaces(text))


EDGE_AND_CASE_FOLDING = Folding(normalize_answer, _fold_case, "case and marks at the edges are", "")
EDGE_FOLDING = Folding(_fold_edges, _fold_spaces, "marks at the edges are", "case counts")
SPACE_FOLDING = Folding(_fold_spaces, _fold_spaces, "white space is", "case and marks at the edges count")
NO_FOLDING = Folding(str.strip, str.strip, "nothing is", "every character counts")
FOLDINGS = (EDGE_AND_CASE_FOLDING, EDGE_FOLDING, SPACE_FOLDING, NO_FOLDING)


def choose_folding(answers: Iterable[str], min_uses: int = 2) -> Folding:
    """The most forgiving folding that keeps these expected answers apart; see `find_merged_spellings` for `fewest`."""
    uses = Counter(answer.strip() for answer in answers)
    return next(
        folding for folding in FOLDINGS if folding is NO_FOLDING or not find_merged_spellings(folding, uses, min_uses)
    )


def find_merged_spellings(folding: Folding, uses: Counter[str], min_uses: int = 2) -> list[tuple[str, str]]:
    """Pairs of spellings in use that become one under the folding, the commoner one first.

    A spelling is in use, and no slip, when it is there `fewest` times and has more than `MAX_TYPO_FRACTION` of the
    uses.
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
            if is_in_use and SPACE_FOLDING(other) != SPACE_FOLDING(first):
                pairs.append((first, other))
    return pairs


def _trim_edges(folded: str) -> str:
    begin, end = 0, len(folded)
    while begin < end and is_edge_character(folded[begin]):
        begin += 1
    while end > begin and (is_edge_character(folded[end - 1]) or folded[end - 1] in SENTENCE_PUNCTUATION):
        end -= 1
    return folded[begin:end] or folded


def strip_excess_marks(text: str) -> str:
    """Marks beyond what text in use has in a row are left out: sorting them takes time that grows with their square."""
    if len(text) < 1_000 or text.isascii():
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_COMBINING_MARKS:
            kept.append(character)
    return "".join(kept)


def is_edge_character(character: str) -> bool:
    """A quote, a bracket, emphasis or white space."""
    return character in " \"'`*¿¡" or unicodedata.category(character) in ("Ps", "Pe", "Pi", "Pf")
