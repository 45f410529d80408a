"""Training answers that may be wrong: only those that two independent signals contradict in the
same way.

There are three signals. Each predicts the answer of a training example, or abstains:

    words      at least 4 of the 5 training examples nearest by words (BM25) have that answer
    meaning    the same for the 5 nearest by sentence vectors, if the embedding model is on this
               machine
    model      the tuned model predicts it with a probability of at least `MIN_CONFIDENCE`,
               although it was trained on the answer that it contradicts (Northcutt, Jiang, Chuang
               2021, "Confident Learning", in its simplest form)

A suspect is an example for which two signals predict the same other answer. One signal alone is not
enough: much of what a single signal flags is right (measured in
docs/lab/2026-11-30-label-suspects.md), and following it would damage the data. No number is
presented as a certainty: the report states how many signals agree and the neighbors' answers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.analysis.nearest_examples import TrainIndex
from tunesmith.data.text_folding import normalize_answer
from tunesmith.records import Example, LabelIssue

MIN_CONFIDENCE = 0.8
"""Least probability of a prediction of the tuned model that counts as a signal."""
NUM_NEIGHBORS = 5
MIN_AGREEING_NEIGHBORS = 4
MIN_SIGNALS = 2
"""Signals that must agree."""
MAX_EXAMINED = 3000
MAX_PAIRS = 60_000_000
"""Examined examples times training examples: every search scans all of them; this many pairs take
seconds.
"""

ModelPredictions = Mapping[str, tuple[str, float]]
"""Training example id -> the model's answer and its probability."""

SignalSource = Literal["words", "meaning", "model"]


@dataclass(frozen=True, slots=True)
class LabelSignal:
    """One signal about one training example: the predicted answer, and the reason in words."""

    answer: str
    reason: str


LabelSignals = Mapping[SignalSource, Mapping[str, LabelSignal]]
"""Source -> (training example id -> signal); examples without a signal are absent."""


def select_examined(train: Sequence[Example]) -> list[Example]:
    """The examples that are examined: the first ones by id (a hash, so a fair sample)."""
    limit = min(MAX_EXAMINED, MAX_PAIRS // max(1, len(train)))
    return sorted(train, key=lambda example: example.id)[:limit]


def collect_neighbor_signals(
    examples: Sequence[Example], index: TrainIndex, how: str
) -> dict[str, LabelSignal]:
    """The signals of each example's nearest training examples; `how` names the search in the
    sentence (`nearest by words`).
    """
    signals = {}
    for example, nearest in zip(examples, index.find_nearest(examples, NUM_NEIGHBORS), strict=True):
        if len(nearest) < MIN_AGREEING_NEIGHBORS:
            continue
        votes = Counter(normalize_answer(one.answer) for one in nearest)
        answer, count = votes.most_common(1)[0]
        if count >= MIN_AGREEING_NEIGHBORS:
            instead = next(one.answer for one in nearest if normalize_answer(one.answer) == answer)
            signals[example.id] = LabelSignal(
                instead, f"{count} of {len(nearest)} {how} have {instead}"
            )
    return signals


def collect_model_signals(predictions: ModelPredictions) -> dict[str, LabelSignal]:
    """The confident predictions of the tuned model as signals."""
    return {
        example: LabelSignal(answer, f"the tuned model predicts {answer}")
        for example, (answer, probability) in predictions.items()
        if probability >= MIN_CONFIDENCE
    }


def find_label_issues(train: Sequence[Example], signals: LabelSignals) -> list[LabelIssue]:
    """Training examples whose answer two signals contradict in the same way; most signals first."""
    issues = []
    for example in train:
        now = normalize_answer(example.answer)
        predictions = [of[example.id] for of in signals.values() if example.id in of]
        against = [signal for signal in predictions if normalize_answer(signal.answer) != now]
        votes = Counter(normalize_answer(signal.answer) for signal in against)
        if not votes:
            continue
        answer, count = votes.most_common(1)[0]
        # also rejected if any signal supports the present answer or a third one
        if count < MIN_SIGNALS or count < len(predictions):
            continue
        issues.append(
            _build_label_issue(
                example, [one for one in against if normalize_answer(one.answer) == answer]
            )
        )
    return sorted(
        issues,
        key=lambda one: (
            -one.n_signals,
            one.origin.file if one.origin else "",
            one.line,
            one.example,
        ),
    )


def _build_label_issue(example: Example, agreeing: Sequence[LabelSignal]) -> LabelIssue:
    return LabelIssue(
        example=example.id,
        line=example.line,
        origin=example.origin,
        question=example.question,
        answer=example.answer,
        predicted=agreeing[0].answer,
        n_signals=len(agreeing),
        reason="; ".join(signal.reason for signal in agreeing),
    )


def describe_signals(signals: LabelSignals) -> str:
    """The sources for a reader, for example `nearest examples by words, nearest examples by
    meaning`.
    """
    words = {
        "words": "nearest neighbors by words",
        "meaning": "nearest neighbors by meaning",
        "model": "tuned model",
    }
    return ", ".join(words[source] for source in signals)
