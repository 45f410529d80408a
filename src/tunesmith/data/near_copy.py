"""When one text is a copy of another with small changes, and when the two are only alike.

Two people ask for the same thing in nearly the same words all the time; that is no leak. In banking77, whose messages
were written one by one, 633 pairs of train and test differ in one word of their 7 on average and mean the same, and 188
in one word and mean something else ("How do I reset my PIN?", "my passcode?"). A similarity cannot tell these apart, so
the changes are counted, and how many a copy may have grows with its length:

- order, repetition, case, punctuation and one misspelt word cost nothing;
- words in front or behind ("Hi there, ...", "... thanks a lot") cost nothing up to 4, or half as many as the text has;
- one word may be replaced, added, left out, or be one more misspelt, from 6 words on, and one more for each 12 more;
  with words in front or behind one fewer;
- numbers must be the same: an order number is what tells two messages of one form apart;
- a text of fewer than 4 words is never a copy: such texts meet by chance.

Whether the answers agree is the caller's to ask (`leaks.py`): who remembers another answer gains nothing.
"""

import re
from collections.abc import Sequence

from tunesmith.data.normalization import normalize_text

MIN_WORDS = 4
MAX_EXTRA_WORDS = 4
WORDS_FOR_FIRST_CHANGE, WORDS_PER_CHANGE = 6, 12
"""Of 100 pairs of banking77 that are copies by this rule 81 have the same label. Of copies planted there with one word
replaced 91 are found; were one change allowed from 7 words on it would be 84, from 5 on 97."""

_UNSPACED = "฀-๿぀-ヿ㐀-鿿"  # Thai, kana, Chinese characters: a character is a word
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")
_APOSTROPHES = str.maketrans("", "", "'’")


def tokenize_words(text: str) -> list[str]:
    """The words of a text, normalised, without punctuation."""
    return _WORD.findall(normalize_text(text).translate(_APOSTROPHES))


def is_near_copy(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether these words are the others with small changes."""
    shorter, longer = sorted((a, b), key=len)
    if len(shorter) < MIN_WORDS or len(longer) > 2 * len(shorter) + 4:
        return False
    lost, added = set(shorter) - set(longer), set(longer) - set(shorter)
    few = (len(shorter) + WORDS_PER_CHANGE - WORDS_FOR_FIRST_CHANGE) // WORDS_PER_CHANGE
    if len(lost) > few + 1 or _select_numbers(lost) != _select_numbers(added):
        return False
    misspelt = _remove_misspellings(lost, added)
    slips = max(0, misspelt - 1)
    if max(len(lost), len(added)) + slips <= few:
        return True
    kept = _trim_ends(longer, added)
    around = len(longer) - len(kept)
    changed = max(len(lost), len(added.intersection(kept))) + slips
    return 0 < around <= max(MAX_EXTRA_WORDS, len(shorter) // 2) and (changed == 0 or changed < few)


def is_trivially_equal(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether they are the same words in any order, but for one that is misspelt."""
    lost, added = set(a) - set(b), set(b) - set(a)
    return max(len(lost), len(added)) <= 1 and _remove_misspellings(lost, added) <= 1 and not lost and not added


def _select_numbers(words: set[str]) -> set[str]:
    return {word for word in words if any(character.isdigit() for character in word)}


def _remove_misspellings(lost: set[str], added: set[str]) -> int:
    """Remove words that are each other misspelt from both; how many there were."""
    pairs = [(word, other) for word in sorted(lost) for other in sorted(added) if _is_misspelling(word, other)]
    count = 0
    for word, other in pairs:
        if word in lost and other in added:
            lost.remove(word)
            added.remove(other)
            count += 1
    return count


def _is_misspelling(a: str, b: str) -> bool:
    """One slip (a letter more, less, other, or two exchanged) in words of 4 letters and more, two from 8 on."""
    longest = max(len(a), len(b))
    slips = 0 if longest < 4 else 1 if longest < 8 else 2
    return abs(len(a) - len(b)) <= slips and slips > 0 and _compute_edit_distance(a, b) <= slips


def _compute_edit_distance(a: str, b: str) -> int:
    """Optimal string alignment distance (Damerau-Levenshtein without edits of edits)."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]


def _trim_ends(words: Sequence[str], extra: set[str]) -> Sequence[str]:
    """The words between the first and the last that is not extra."""
    places = [i for i, word in enumerate(words) if word not in extra]
    return words[places[0] : places[-1] + 1] if places else ()
