"""Train answers that may be wrong.

From beliefs: what the tuned model says to a train example, and how sure it is. It was trained on the very answer that
it contradicts, so a confident contradiction means that all other examples speak against this one. Whatever contradicts
with a probability of `CONFIDENT` or more is a suspect, the surest first.
Source: Northcutt, Jiang, Chuang 2021, "Confident Learning", in its simplest form.

From neighbours, where nobody asked the model: an example is a suspect when at least 4 of the 5 train examples nearest
to it agree on another answer. It is weaker: it knows words, not meanings.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from tunesmith.analysis.neighbours import TrainIndex
from tunesmith.data.folding import normalised
from tunesmith.records import Example, Suspect

CONFIDENT = 0.8
ASKED_NEIGHBOURS = 5
AGREEING = 4
MOST_LOOKED_AT = 3000
MOST_PAIRS = 60_000_000
"""Each takes a search over all train examples: so many pairs take seconds."""

BY_MODEL = "the tuned model's own answers"
BY_NEIGHBOURS = "the nearest train examples (BM25)"

Beliefs = Mapping[str, tuple[str, float]]
"""Train example id -> what the model says, and the probability that it gives to that."""


def suspects_by_model(train: Sequence[Example], beliefs: Beliefs) -> list[Suspect]:
    """Train examples whose answer the model contradicts, the surest first."""
    told = [(example, *beliefs[example.id]) for example in train if example.id in beliefs]
    return _ranked(
        [
            _suspect(example, said, probability)
            for example, said, probability in told
            if probability >= CONFIDENT and normalised(said) != normalised(example.answer)
        ]
    )


def suspects_by_neighbours(train: Sequence[Example], index: TrainIndex) -> tuple[list[Suspect], int]:
    """Train examples whose neighbours agree on another answer, and how many were looked at (the first by id)."""
    limit = min(MOST_LOOKED_AT, MOST_PAIRS // max(1, len(train)))
    looked_at = sorted(train, key=lambda example: example.id)[:limit]
    found = []
    for example, nearest in zip(looked_at, index.nearest(looked_at, ASKED_NEIGHBOURS), strict=True):
        if len(nearest) < AGREEING:
            continue
        votes = Counter(normalised(one.answer) for one in nearest)
        answer, count = votes.most_common(1)[0]
        if count >= AGREEING and answer != normalised(example.answer):
            instead = next(one.answer for one in nearest if normalised(one.answer) == answer)
            found.append(_suspect(example, instead, count / len(nearest)))
    return _ranked(found), len(looked_at)


def _suspect(example: Example, instead: str, confidence: float) -> Suspect:
    return Suspect(
        example=example.id,
        line=example.line,
        question=example.question,
        answer=example.answer,
        instead=instead,
        confidence=confidence,
    )


def _ranked(suspects: Sequence[Suspect]) -> list[Suspect]:
    return sorted(suspects, key=lambda suspect: (-suspect.confidence, suspect.line, suspect.example))
