"""Label: accuracy, and macro-F1 over all examples, for answers from a small known set.

An answer counts as the label that it states (`label_extraction.py` has the rule). Which labels
exist, and which spelling differences are ignored, is decided by `data/label_detection.py`: two
labels in use are never merged.

Macro-F1 is the unweighted mean of each label's F1 = 2 tp / (2 tp + fp + fn), over the labels that
occur in the references.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tunesmith.data.label_detection import build_label_set
from tunesmith.evaluation.scorers.label_extraction import LabelExtractor
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, FloatArray

MAX_CACHED_EXTRACTORS = 256  # each holds multiple compiled patterns


class LabelScorer:
    """Accuracy and macro-F1 over the labels of the train answers; accuracy is primary."""

    name = "label"
    metric = "accuracy"
    failure_text = "contain no label or several"

    @classmethod
    def from_references(cls, references: Sequence[str]) -> "LabelScorer":
        """The train answers are the labels."""
        return cls(references)

    def __init__(self, labels: Sequence[str]) -> None:
        self.label_set = build_label_set(labels)
        self._position = {
            self.label_set.normalize_label(label): i
            for i, label in enumerate(self.label_set.labels)
        }
        self._extractor = LabelExtractor(self.label_set)
        self._extractors_by_reference: dict[str, LabelExtractor] = {}

    @property
    def corpus_metrics(self) -> Mapping[str, CorpusMetric]:
        """`macro_f1` by name."""
        return {"macro_f1": CorpusMetric(self._count_matches, _compute_macro_f1)}

    def normalize_label(self, text: str) -> str:
        """The normalized form in which labels are compared."""
        return self.label_set.normalize_label(text)

    def extract_label(self, answer: str) -> str | None:
        """The label that an answer states, normalized; None if it states none or more than one."""
        return self._extractor.extract(answer)

    def can_parse(self, answer: str) -> bool:
        """Whether the answer states exactly one label."""
        return self.extract_label(answer) is not None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`accuracy`: 0 or 1. A reference that no train answer has is an additional label."""
        expected = self.normalize_label(reference)
        reader = self._extractor if expected in self._position else self._get_extractor(reference)
        return {"accuracy": float(reader.extract(answer) == expected)}

    def _get_extractor(self, reference: str) -> LabelExtractor:
        if reference not in self._extractors_by_reference:
            if len(self._extractors_by_reference) >= MAX_CACHED_EXTRACTORS:
                self._extractors_by_reference.clear()
            more = replace(self.label_set, labels=(*self.label_set.labels, reference))
            self._extractors_by_reference[reference] = LabelExtractor(more)
        return self._extractors_by_reference[reference]

    def _count_matches(self, answer: str, reference: str) -> FloatArray:
        """True positives, predicted and expected counts per label, concatenated: shape (3 * L,) for
        L known labels plus one.

        References outside the known labels share the last position: a label that is never
        predicted.
        """
        known = len(self._position) + 1
        counts_3L = np.zeros((3, known))
        expected = self._position.get(self.normalize_label(reference), known - 1)
        label = self.extract_label(answer)
        counts_3L[2, expected] = 1
        if label is not None:
            counts_3L[1, self._position[label]] = 1
            counts_3L[0, expected] = float(self._position[label] == expected)
        return counts_3L.ravel()


def _compute_macro_f1(sums: FloatArray) -> FloatArray:
    """Counts (..., 3 * L) -> macro-F1 (...)."""
    right, predicted, expected = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    f1 = 2 * right / np.maximum(predicted + expected, 1)
    # Labels that no reference has are left out, or predicting one would add a class with F1 = 0.
    occurring = expected > 0
    result: FloatArray = (f1 * occurring).sum(axis=-1) / np.maximum(occurring.sum(axis=-1), 1)
    return result
