"""The one rule for "are these answers labels?", asked by checks, split, scorer, form, estimate and analysis.

Answers are labels where they are used again and again, so that a further answer would hardly be a new one:

    at most 200 different answers, each of one line
    each is used 2 times on average (3 times where one is longer than 60 characters)
    answers that are used once are at most 15 % of all: the Good-Turing estimate of the chance that the next answer is
    one that was not seen yet (Good 1953)

Neither the length of an answer nor the share of one label counts. Ratings (1 to 5) and other small sets of small whole
numbers are labels; amounts are not, whatever their number (`choose_scorer` asks for them first). Only final answers are
looked at (`extract_final_answer`). How labels are told apart is `choose_folding`'s rule: never are two of them folded
into one.
Where labels are lists ("bug, urgent"), the order of their parts and how they are parted do not count, by the same rule.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.data.final_answer import extract_final_answer, is_blank
from tunesmith.data.text_folding import Folding, choose_folding

MAX_SHORT_LABEL_CHARACTERS = 60
MAX_LABELS = 200
MIN_LABEL_USES = 2
MIN_LONG_LABEL_USES = 3
MAX_SINGLETON_FRACTION = 0.15
MIN_POSSIBLE_LABEL_USES = 1.5
LIST_SEPARATOR = re.compile(r"\s?[,;|&]\s?(?:and\s)?|\sand\s")
"""What stands between the parts of a label that is a list, in folded text."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels in their commonest spelling, the most used first, and how a text is folded to be compared with them.

    `is_multi_label`: some have several parts, whose order does not matter.
    """

    labels: tuple[str, ...]
    folding: Folding
    is_multi_label: bool = False

    @property
    def max_characters(self) -> int:
        """Characters of the longest label."""
        return max(map(len, self.labels), default=0)

    def normalize_label(self, text: str) -> str:
        """The text as labels are compared."""
        return ", ".join(self.split_parts(text)) if self.is_multi_label else self.folding(text)

    def split_parts(self, text: str) -> list[str]:
        """The parts of a text that is a list, sorted; an empty text is one part."""
        parts = [self.folding(part) for part in LIST_SEPARATOR.split(self.folding(text))]
        return sorted(filter(None, parts)) or [""]


def build_label_set(answers: Sequence[str]) -> LabelSet:
    """The labels that these final answers are, whether or not they look like labels.

    Where each is there once they are a list of labels, and none of them is a slip.
    """
    folding = choose_folding(answers, min_uses=2 if len(set(answers)) < len(answers) else 1)
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for answer, count in Counter(answers).items():
        spellings[folding(answer)][answer.strip()] += count
    by_uses = sorted(spellings.items(), key=lambda item: (-item[1].total(), item[0]))
    found = LabelSet(tuple(min(spelt, key=lambda text: (-spelt[text], text)) for _, spelt in by_uses), folding)
    lists = replace(found, is_multi_label=True)
    has_lists = any(re.search("[,;|]", label) for label in found.labels)
    return lists if has_lists and len({*map(lists.normalize_label, lists.labels)}) == len(lists.labels) else found


def find_labels(answers: Sequence[str]) -> LabelSet | None:
    """The labels, where these answers are labels by the rule above; reasoning before them is not looked at."""
    uses = _count_final_answers(answers)
    if not _could_be_labels(uses):
        return None
    finals = list(uses.elements())
    found = build_label_set(finals)
    counts: Counter[str] = Counter()
    for answer, count in uses.items():
        counts[found.normalize_label(answer)] += count
    wanted = MIN_LABEL_USES if found.max_characters <= MAX_SHORT_LABEL_CHARACTERS else MIN_LONG_LABEL_USES
    are_used = len(counts) <= MAX_LABELS and wanted * len(counts) <= len(finals)
    once = sum(count == 1 for count in counts.values())
    return found if are_used and once <= MAX_SINGLETON_FRACTION * len(finals) else None


def count_possible_labels(answers: Sequence[str]) -> int:
    """How many labels these answers may be that are too many or too rare for the rule; 0 where nothing speaks for it.

    It is offered, not done: short answers of one line, used 1.5 times on average.
    """
    uses = _count_final_answers(answers)
    is_likely = (
        bool(uses)
        and MIN_POSSIBLE_LABEL_USES * len(uses) <= len(answers)
        and max(map(len, uses)) <= MAX_SHORT_LABEL_CHARACTERS
    )
    return len(uses) if is_likely and not any("\n" in answer for answer in uses) else 0


def _count_final_answers(answers: Sequence[str]) -> Counter[str]:
    """How often each final answer is used. Each different answer is looked at once, however often it is used.

    A missing answer is not counted: it is no label, and no spelling of one.
    """
    uses: Counter[str] = Counter()
    for answer, count in Counter(answers).items():
        if not is_blank(final := extract_final_answer(answer)):
            uses[final.strip()] += count
    return uses


def _could_be_labels(uses: Counter[str]) -> bool:
    """Quick, before anything is folded: spellings may be twice as many as labels, or more."""
    return bool(uses) and len(uses) <= 5 * MAX_LABELS and not any("\n" in answer for answer in uses)
