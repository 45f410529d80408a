"""When answers are a small label set: the scorer and the form that answers are held to must agree on it."""

from collections.abc import Sequence

SHORT_CHARACTERS = 60
MOST_LABELS = 200
USES_OF_A_LABEL = 3


def is_label_set(answers: Sequence[str], distinct: int) -> bool:
    """They are short, at most 200 of them differ, and each label stands for 3 answers on average."""
    longest = max(map(len, answers), default=0)
    return longest <= SHORT_CHARACTERS and distinct <= MOST_LABELS and 0 < distinct * USES_OF_A_LABEL <= len(answers)
