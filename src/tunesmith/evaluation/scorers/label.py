"""Label: accuracy, and macro-F1 over all examples, for answers from a small known set.

An answer stands for the label that it says (`said_label.py` has the rule). Which labels there are, and which
differences of writing are forgiven, says `data/label_set.py`: two labels in use are never folded into one.

Macro-F1 is the plain mean of each label's F1 = 2 tp / (2 tp + fp + fn), over the labels that occur in the references.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tunesmith.data.label_set import label_set_of
from tunesmith.evaluation.scorers.said_label import SaidLabel
from tunesmith.evaluation.scorers.scorer import FloatArray, WholeSetMetric

MOST_READERS = 256


class LabelScorer:
    """Accuracy and macro-F1 over the labels of the train answers."""

    name = "label"
    metric = "accuracy"
    missing = "say none of the labels, or several"

    def __init__(self, labels: Sequence[str]) -> None:
        self.label_set = label_set_of(labels)
        self._position = {self.label_set.key_of(label): i for i, label in enumerate(self.label_set.labels)}
        self._said = SaidLabel(self.label_set)
        self._said_or: dict[str, SaidLabel] = {}

    @property
    def whole_set(self) -> Mapping[str, WholeSetMetric]:
        """`macro_f1`."""
        return {"macro_f1": WholeSetMetric(self._count, _macro_f1)}

    def key_of(self, text: str) -> str:
        """A label as it is compared."""
        return self.label_set.key_of(text)

    def label_of(self, answer: str) -> str | None:
        """The label that an answer says, as `key_of` writes it."""
        return self._said.read(answer)

    def finds(self, answer: str) -> bool:
        """Whether the answer says one label."""
        return self.label_of(answer) is not None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`accuracy`: 0 or 1. A reference that no train answer had is a label of its own."""
        wanted = self.key_of(reference)
        reader = self._said if wanted in self._position else self._reader_with(reference)
        return {"accuracy": float(reader.read(answer) == wanted)}

    def _reader_with(self, reference: str) -> SaidLabel:
        if reference not in self._said_or:
            if len(self._said_or) >= MOST_READERS:
                self._said_or.clear()
            more = replace(self.label_set, labels=(*self.label_set.labels, reference))
            self._said_or[reference] = SaidLabel(more)
        return self._said_or[reference]

    def _count(self, answer: str, reference: str) -> FloatArray:
        """True positives, predicted and wanted per label, one after the other: (3 * labels + 1,).

        References outside the known labels share the last place: a label of its own that is never predicted.
        """
        known = len(self._position) + 1
        counts_3L = np.zeros((3, known))
        wanted = self._position.get(self.key_of(reference), known - 1)
        label = self.label_of(answer)
        counts_3L[2, wanted] = 1
        if label is not None:
            counts_3L[1, self._position[label]] = 1
            counts_3L[0, wanted] = float(self._position[label] == wanted)
        return counts_3L.ravel()


def _macro_f1(sums: FloatArray) -> FloatArray:
    """(..., 3 * L) -> (...)."""
    right, predicted, wanted = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    f1 = 2 * right / np.maximum(predicted + wanted, 1)
    occurring = wanted > 0
    result: FloatArray = (f1 * occurring).sum(axis=-1) / np.maximum(occurring.sum(axis=-1), 1)
    return result
