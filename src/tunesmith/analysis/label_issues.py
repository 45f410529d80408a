"""Train answers that may be wrong: only those that two independent signals contradict in the same way.

Three signals may speak about a train example. Each names the answer that it should have, or says nothing:

    words      at least 4 of the 5 train examples nearest by words (BM25) have that answer
    meaning    the same of the 5 nearest by sentence vectors, where the embedding model is on this machine
    model      the tuned model answers so with a probability of `MIN_CONFIDENCE` or more, though it was trained on the
               answer that it contradicts (Northcutt, Jiang, Chuang 2021, "Confident Learning", in its simplest form)

A suspect is an example for which two signals name the same other answer. One alone suspects nothing: much of what one
signal accuses is right (measured in docs/lab/2026-11-30-label-suspects.md), and whoever obeys it damages the data. No
number is called a certainty: how many signals agree is said, and what the neighbors answer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.analysis.nearest_examples import TrainIndex
from tunesmith.data.text_folding import normalize_answer
from tunesmith.records import Example, LabelIssue

MIN_CONFIDENCE = 0.8
NUM_NEIGHBORS = 5
MIN_AGREEING_NEIGHBORS = 4
MIN_SIGNALS = 2
MAX_EXAMINED = 3000
MAX_PAIRS = 60_000_000
"""Each takes a search over all train examples: so many pairs take seconds."""

ModelPredictions = Mapping[str, tuple[str, float]]
"""Train example id -> what the model says, and the probability that it gives to that."""

SignalSource = Literal["words", "meaning", "model"]


@dataclass(frozen=True, slots=True)
class LabelSignal:
    """One voice about one train example: the answer that it should have, and the words for it."""

    answer: str
    reason: str


LabelSignals = Mapping[SignalSource, Mapping[str, LabelSignal]]
"""By its source: train example id -> what it says, for those that it says something about."""


def select_examined(train: Sequence[Example]) -> list[Example]:
    """The examples that are looked at, the first by id (a hash: a fair sample)."""
    limit = min(MAX_EXAMINED, MAX_PAIRS // max(1, len(train)))
    return sorted(train, key=lambda example: example.id)[:limit]


def collect_neighbor_signals(examples: Sequence[Example], index: TrainIndex, how: str) -> dict[str, LabelSignal]:
    """What the nearest train examples of each say; `how` they were found, for the sentence (`by words`)."""
    signals = {}
    for example, nearest in zip(examples, index.find_nearest(examples, NUM_NEIGHBORS), strict=True):
        if len(nearest) < MIN_AGREEING_NEIGHBORS:
            continue
        votes = Counter(normalize_answer(one.answer) for one in nearest)
        answer, count = votes.most_common(1)[0]
        if count >= MIN_AGREEING_NEIGHBORS:
            instead = next(one.answer for one in nearest if normalize_answer(one.answer) == answer)
            signals[example.id] = LabelSignal(instead, f"{count} of {len(nearest)} {how} have {instead}")
    return signals


def collect_model_signals(predictions: ModelPredictions) -> dict[str, LabelSignal]:
    """What the tuned model says where it is confident."""
    return {
        example: LabelSignal(answer, f"the tuned model answers {answer}")
        for example, (answer, probability) in predictions.items()
        if probability >= MIN_CONFIDENCE
    }


def find_label_issues(train: Sequence[Example], signals: LabelSignals) -> list[LabelIssue]:
    """Train examples whose answer two signals contradict alike; those that most signals contradict first."""
    found = []
    for example in train:
        now = normalize_answer(example.answer)
        said = [of[example.id] for of in signals.values() if example.id in of]
        against = [signal for signal in said if normalize_answer(signal.answer) != now]
        votes = Counter(normalize_answer(signal.answer) for signal in against)
        if not votes:
            continue
        answer, count = votes.most_common(1)[0]
        if count < MIN_SIGNALS or count < len(said):  # a signal that speaks for the answer, or for a third one
            continue
        found.append(_build_label_issue(example, [one for one in against if normalize_answer(one.answer) == answer]))
    return sorted(found, key=lambda one: (-one.signals, one.origin.file if one.origin else "", one.line, one.example))


def _build_label_issue(example: Example, agreeing: Sequence[LabelSignal]) -> LabelIssue:
    return LabelIssue(
        example=example.id,
        line=example.line,
        origin=example.origin,
        question=example.question,
        answer=example.answer,
        instead=agreeing[0].answer,
        signals=len(agreeing),
        why="; ".join(signal.reason for signal in agreeing),
    )


def describe_signals(signals: LabelSignals) -> str:
    """What was asked, for a reader: `nearest by words, nearest by meaning`."""
    words = {"words": "nearest examples by words", "meaning": "nearest examples by meaning", "model": "tuned model"}
    return ", ".join(words[source] for source in signals)
