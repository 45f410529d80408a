"""The single rule for whether answers are labels, used by checks, split, scorers and analysis.

Answers are labels if they are reused, so that a further answer would hardly be a new one:

    at most 200 different answers, each of one line
    each is used 2 times on average (3 times if one is longer than 60 characters)
    answers used once are at most 15 % of all: the Good-Turing estimate of the probability that the
    next answer is an unseen one (Good 1953)

Neither the length of an answer nor the frequency of one label matters. Ratings (1 to 5) and other
small sets of small integers are labels; amounts are not, whatever their number (`choose_scorer`
tests for them first), nor are tool calls. Only final answers count (`extract_final_answer`). Labels
are compared after `choose_folding`, which never folds two of them into one. Where labels are lists
("bug, urgent"), the order and the separators of their parts do not matter, by the same rule.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.data.final_answer import extract_final_answer, is_blank
from tunesmith.data.text_folding import Folding, choose_folding
from tunesmith.data.tool_call_format import has_calls

MAX_SHORT_LABEL_CHARACTERS = 60
MAX_LABELS = 200
MIN_LABEL_USES = 2
MIN_LONG_LABEL_USES = 3
MAX_SINGLETON_FRACTION = 0.15
MIN_POSSIBLE_LABEL_USES = 1.5
LIST_SEPARATOR = re.compile(r"\s?[,;|&]\s?(?:and\s)?|\sand\s")
"""Separators between the parts of a label that is a list, in folded text."""


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels in their most common spelling, the most used first, and the folding to compare with.

    `is_multi_label`: some have several parts, whose order does not matter.
    """

    labels: tuple[str, ...]
    folding: Folding
    is_multi_label: bool = False

    @property
    def max_characters(self) -> int:
        """Length in characters of the longest label."""
        return max(map(len, self.labels), default=0)

    def normalize_label(self, text: str) -> str:
        """The form of a text in which labels are compared."""
        return ", ".join(self.split_parts(text)) if self.is_multi_label else self.folding(text)

    def split_parts(self, text: str) -> list[str]:
        """The parts of a text that is a list, sorted; an empty text is one part."""
        parts = [self.folding(part) for part in LIST_SEPARATOR.split(self.folding(text))]
        return sorted(filter(None, parts)) or [""]


def build_label_set(answers: Sequence[str]) -> LabelSet:
    """Treat these final answers as labels, whether or not they look like labels.

    If each occurs once, they are a list of labels, and none of them counts as a typo.
    """
    folding = choose_folding(answers, min_uses=2 if len(set(answers)) < len(answers) else 1)
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for answer, count in Counter(answers).items():
        spellings[folding(answer)][answer.strip()] += count
    by_uses = sorted(spellings.items(), key=lambda item: (-item[1].total(), item[0]))
    found = LabelSet(
        tuple(min(spelt, key=lambda text: (-spelt[text], text)) for _, spelt in by_uses), folding
    )
    lists = replace(found, is_multi_label=True)
    has_lists = any(re.search("[,;|]", label) for label in found.labels)
    # Read as lists only if that merges no two labels: "a, b" and "b, a" may be different classes.
    return (
        lists
        if has_lists and len({*map(lists.normalize_label, lists.labels)}) == len(lists.labels)
        else found
    )


def find_labels(answers: Sequence[str]) -> LabelSet | None:
    """The label set if these answers are labels by the rule above, else None; without reasoning."""
    uses = _count_final_answers(answers)
    if not _could_be_labels(uses):
        return None
    # Repeated by their number of uses, which decides whether a spelling is a typo.
    finals = list(uses.elements())
    found = build_label_set(finals)
    counts: Counter[str] = Counter()
    for answer, count in uses.items():
        counts[found.normalize_label(answer)] += count
    wanted = (
        MIN_LABEL_USES
        if found.max_characters <= MAX_SHORT_LABEL_CHARACTERS
        else MIN_LONG_LABEL_USES
    )
    # Counted after folding: several spellings of a label are one label.
    are_used = len(counts) <= MAX_LABELS and wanted * len(counts) <= len(finals)
    once = sum(count == 1 for count in counts.values())
    return found if are_used and once <= MAX_SINGLETON_FRACTION * len(finals) else None


def count_possible_labels(answers: Sequence[str]) -> int:
    """Number of labels if the answers may be labels but are too many or too rare; 0 if unlikely.

    Only suggested to the user: short one-line answers, used 1.5 times on average.
    """
    uses = _count_final_answers(answers)
    is_likely = (
        bool(uses)
        and MIN_POSSIBLE_LABEL_USES * len(uses) <= len(answers)
        and max(map(len, uses)) <= MAX_SHORT_LABEL_CHARACTERS
    )
    is_one_line = not any("\n" in answer or has_calls(answer) for answer in uses)
    return len(uses) if is_likely and is_one_line else 0


def _count_final_answers(answers: Sequence[str]) -> Counter[str]:
    """How often each final answer is used, with each different text parsed only once.

    Missing answers are not counted: they are neither a label nor a spelling of one.
    """
    uses: Counter[str] = Counter()
    for answer, count in Counter(answers).items():
        if not is_blank(final := extract_final_answer(answer)):
            uses[final.strip()] += count
    return uses


def _could_be_labels(uses: Counter[str]) -> bool:
    """A quick test before folding; spellings may outnumber labels, here by up to five times."""
    is_small = bool(uses) and len(uses) <= 5 * MAX_LABELS
    return is_small and not any("\n" in answer or has_calls(answer) for answer in uses)
