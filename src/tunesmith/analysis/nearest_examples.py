"""The training examples nearest to an error (BM25 over words and trigrams, the same search as in
retrieval).

They indicate the kind of error: if neighbors have the expected answer, the model had what it
needed; if they have the wrongly predicted one, the labels contradict each other or overlap; if they
have neither, nothing in training was similar.
"""

from collections.abc import Callable, Sequence

from tunesmith.analysis.scored_examples import ScoredExample
from tunesmith.contenders.retrieval.search_index import Bm25Index, TextSearch
from tunesmith.data.text_folding import normalize_answer
from tunesmith.records import Example, Failure, Neighbor

NUM_NEAREST = 3
"""Neighbors per error."""


class TrainIndex:
    """Training examples, searched by a question; an example never finds itself. By words, unless
    `make` builds another index.
    """

    def __init__(
        self, examples: Sequence[Example], make: Callable[[Sequence[str]], TextSearch] = Bm25Index
    ) -> None:
        self._examples = tuple(examples)
        self._position = {example.id: i for i, example in enumerate(self._examples)}
        self._index = make([example.question for example in self._examples])

    def find_nearest(self, examples: Sequence[Example], k: int) -> list[list[Example]]:
        """For each example up to k training examples, nearest first."""
        itself = [
            {self._position[example.id]} if example.id in self._position else set()
            for example in examples
        ]
        nearest = self._index.find_nearest([example.question for example in examples], k, itself)
        return [[self._examples[i] for i in places] for places in nearest]


def build_failures(cases: Sequence[ScoredExample], index: TrainIndex) -> list[Failure]:
    """The errors with their neighbors."""
    neighbors = index.find_nearest([case.example for case in cases], NUM_NEAREST)
    return [_build_failure(case, near) for case, near in zip(cases, neighbors, strict=True)]


def _build_failure(case: ScoredExample, neighbors: Sequence[Example]) -> Failure:
    expected, predicted = normalize_answer(case.expected), normalize_answer(case.predicted)
    answers = [normalize_answer(example.answer) for example in neighbors]
    return Failure(
        example=case.example.id,
        outcome=(
            "wrong"
            if case.score is not None
            else "no answer"
            if case.answer.error is not None
            else "unscored"
        ),
        score=case.score,
        expected=case.example.answer,
        predicted=case.answer.text,
        neighbors=tuple(build_neighbor(example) for example in neighbors),
        neighbors_with_reference=answers.count(expected),
        # Equal after normalization: wrong only by its spelling, so no neighbor misled it.
        neighbors_with_prediction=answers.count(predicted) if predicted != expected else 0,
    )


def build_neighbor(example: Example) -> Neighbor:
    """A training example as a record."""
    return Neighbor(
        example=example.id,
        line=example.line,
        question=example.question,
        answer=example.answer,
        origin=example.origin,
    )


def collect_neighbors(
    cases: Sequence[ScoredExample], index: TrainIndex, limit: int
) -> tuple[Neighbor, ...]:
    """The nearest training examples of several errors, each once, those of the first error
    first.
    """
    neighbors: dict[str, Neighbor] = {}
    for near in index.find_nearest([case.example for case in cases[:limit]], NUM_NEAREST):
        for example in near:
            neighbors.setdefault(example.id, build_neighbor(example))
    return tuple(neighbors.values())[:limit]
