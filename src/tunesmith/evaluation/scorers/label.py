"""Label: accuracy, and macro-F1 over all examples, for answers from a small known set.

An answer stands for the label that it equals after normalisation. A longer answer stands for the one known label that
it names, if it names it in one of these ways, so that a prompted model is not beaten by its manners:

| the answer                                    | example                                              |
|-----------------------------------------------|------------------------------------------------------|
| its first line is the label                   | "card_arrival", then lines that explain              |
| it begins with the label and a mark .,;:!-    | "Yes, it is."; not "yes: no", "yes, not really"      |
| it ends a sentence with "is", ":" or "=" and  | "The intent is card_arrival."; not "It is not spam", |
| the label, and no word before that denies     | "I do not think it is spam"                          |

An answer that names no label, or several, or one in another way ("not yes", "maybe spam"), stands for none; a label
inside a longer one that is named does not count. Words that deny are English; in other languages the ways with a first
line, a mark or a colon hold.

Macro-F1 is the plain mean of each label's F1 = 2 tp / (2 tp + fp + fn), over the labels that occur in the references.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.evaluation.scorers.scorer import FloatArray, WholeSetMetric, normalised

_WRAPPED = r"""[\s"'`*(\[]*"""
_BEGINS = re.compile(r"""["'`*)\]]*\s*(?:[.,;:!]|\s-\s|[\u2013\u2014])(?!\W*(?:not|no|never|false)\b)""")
_LEADS = re.compile(rf"(?:(?<!\w)is|[:=：])\s*{_WRAPPED}$")
_ENDS = re.compile(r"""["'`*)\]]*\s*(?:$|[.,;!])""")
LONGEST_LEAD = 64
"""Characters before a label in which what leads to it must stand."""
_DENIES = re.compile(r"(?<!\w)(?:not|no|nor|never|neither|cannot|without)(?!\w)|n['\u2019]t(?!\w)")


class LabelScorer:
    """Accuracy and macro-F1 over the labels of the train answers."""

    name = "label"
    metric = "accuracy"

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = sorted({normalised(label) for label in labels}, key=lambda label: (-len(label), label))
        self._position = {label: i for i, label in enumerate(self._labels)}
        longest_first = "|".join(re.escape(label) for label in self._labels if label)
        self._named = re.compile(rf"(?<!\w)(?:{longest_first})(?!\w)" if longest_first else r"(?!)")

    @property
    def whole_set(self) -> Mapping[str, WholeSetMetric]:
        """`macro_f1`."""
        return {"macro_f1": WholeSetMetric(self._count, _macro_f1)}

    def label_of(self, answer: str) -> str | None:
        """The label that an answer stands for."""
        text = normalised(answer)
        if text in self._position:
            return text
        places = list(self._named.finditer(text))
        if len({place[0] for place in places}) != 1:
            return None
        label = places[0][0]
        is_first_line = normalised(answer.strip().partition("\n")[0]) == label
        denial = _DENIES.search(text)
        denied_from = denial.start() if denial else len(text)
        is_said = any(_is_said(text, *place.span(), denied_from) for place in places)
        return label if is_first_line or is_said else None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`accuracy`: 0 or 1. A reference that no train answer had can still be matched by its own text."""
        wanted = normalised(reference)
        return {"accuracy": float(wanted in (self.label_of(answer), normalised(answer)))}

    def _count(self, answer: str, reference: str) -> FloatArray:
        """True positives, predicted and wanted per label, one after the other: (3 * labels + 1,).

        References outside the known labels share the last place: a label of its own that is never predicted.
        """
        known = len(self._labels) + 1
        counts_3L = np.zeros((3, known))
        wanted = self._position.get(normalised(reference), known - 1)
        label = self.label_of(answer)
        counts_3L[2, wanted] = 1
        if label is not None:
            counts_3L[1, self._position[label]] = 1
            counts_3L[0, wanted] = float(self._position[label] == wanted)
        return counts_3L.ravel()


def _is_said(text: str, begin: int, end: int, denied_from: int) -> bool:
    """The label at this place of a normalised answer is what the answer says, by the second or third way."""
    if begin == 0:
        return _BEGINS.match(text, end) is not None
    leads = _LEADS.search(text, max(0, begin - LONGEST_LEAD), begin)
    return begin <= denied_from and leads is not None and _ENDS.match(text, end) is not None


def _macro_f1(sums: FloatArray) -> FloatArray:
    """(..., 3 * L) -> (...)."""
    right, predicted, wanted = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    f1 = 2 * right / np.maximum(predicted + wanted, 1)
    occurring = wanted > 0
    result: FloatArray = (f1 * occurring).sum(axis=-1) / np.maximum(occurring.sum(axis=-1), 1)
    return result
