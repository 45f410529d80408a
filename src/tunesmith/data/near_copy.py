"""Decide whether one text is a copy of another with small changes, or only similar.

People often ask for the same thing in nearly the same words; that is no contamination. In
banking77, whose messages were written one by one, 633 pairs of train and test differ in one word of
their 7 on average and mean the same, and 188 in one word and mean something else ("How do I reset
my PIN?", "my passcode?"). A similarity score cannot separate these, so the changes are counted, and
the number allowed grows with the length:

- order, repetition, case, punctuation and one misspelled word are free;
- words before or after ("Hi there, ...", "... thanks a lot") are free up to 4, or half as many as
  the text has;
- from 6 words on, one word may be replaced, added, left out, or be a second misspelling, and one
  more for each 12 further words; one fewer if there are words before or after;
- numbers must be equal: an order number is what distinguishes two messages from one template;
- a text of fewer than 4 words is never a copy: such texts coincide by chance.

The caller compares the answers (`contamination.py`): memorizing another answer does not help.
"""

import re
from collections.abc import Sequence

from tunesmith.data.normalization import normalize_text

MIN_WORDS = 4
MAX_EXTRA_WORDS = 4
WORDS_FOR_FIRST_CHANGE, WORDS_PER_CHANGE = 6, 12
"""Of 100 banking77 pairs that are copies by this rule, 81 have the same label. Of copies planted
there with one word replaced, 91 are found; with the first change allowed from 7 words on it would
be 84, from 5 on 97."""

_UNSPACED = "฀-๿぀-ヿ㐀-鿿"  # Thai, kana, Chinese characters: a character is a word
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")
_APOSTROPHES = str.maketrans("", "", "'’")


def tokenize_words(text: str) -> list[str]:
    """The normalized words of a text, without punctuation; apostrophes join the parts of a word."""
    return _WORD.findall(normalize_text(text).translate(_APOSTROPHES))


def is_near_copy(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether one text is the other with small changes, by the rule at the head of this file."""
    shorter, longer = sorted((a, b), key=len)
    if len(shorter) < MIN_WORDS or len(longer) > 2 * len(shorter) + 4:
        return False
    # Sets, so that order and repetition cost nothing.
    lost, added = set(shorter) - set(longer), set(longer) - set(shorter)
    few = (len(shorter) + WORDS_PER_CHANGE - WORDS_FOR_FIRST_CHANGE) // WORDS_PER_CHANGE
    if len(lost) > few + 1 or _select_numbers(lost) != _select_numbers(added):
        return False
    misspelt = _remove_misspellings(lost, added)
    # The first misspelling is free; `_remove_misspellings` took the pairs out of both sets.
    slips = max(0, misspelt - 1)
    if max(len(lost), len(added)) + slips <= few:
        return True
    kept = _trim_ends(longer, added)
    around = len(longer) - len(kept)
    changed = max(len(lost), len(added.intersection(kept))) + slips
    return 0 < around <= max(MAX_EXTRA_WORDS, len(shorter) // 2) and (changed == 0 or changed < few)


def is_trivially_equal(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether both have the same words in any order, except for at most one misspelled word."""
    lost, added = set(a) - set(b), set(b) - set(a)
    return (
        max(len(lost), len(added)) <= 1
        and _remove_misspellings(lost, added) <= 1
        and not lost
        and not added
    )


def _select_numbers(words: set[str]) -> set[str]:
    return {word for word in words if any(character.isdigit() for character in word)}


def _remove_misspellings(lost: set[str], added: set[str]) -> int:
    """Remove pairs of a word and its misspelling from the two sets; return how many there were."""
    pairs = [
        (word, other)
        for word in sorted(lost)
        for other in sorted(added)
        if _is_misspelling(word, other)
    ]
    count = 0
    for word, other in pairs:
        if word in lost and other in added:
            lost.remove(word)
            added.remove(other)
            count += 1
    return count


def _is_misspelling(a: str, b: str) -> bool:
    """One typo (insert, delete, replace, swap) in words of 4 letters or more, two from 8 on."""
    longest = max(len(a), len(b))
    slips = 0 if longest < 4 else 1 if longest < 8 else 2
    return abs(len(a) - len(b)) <= slips and slips > 0 and _compute_edit_distance(a, b) <= slips


def _compute_edit_distance(a: str, b: str) -> int:
    """Optimal string alignment distance (Damerau-Levenshtein, no substring edited twice)."""
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
    """The words from the first to the last one that is not in `extra`."""
    places = [i for i, word in enumerate(words) if word not in extra]
    return words[places[0] : places[-1] + 1] if places else ()
