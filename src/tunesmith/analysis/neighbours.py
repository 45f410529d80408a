"""The train examples nearest to an error (BM25 over words and trigrams, as retrieval finds them).

They say what kind of error it is: where neighbours have the wanted answer, the model had what it needed; where they
have the answer that was wrongly given, the labels contradict each other or overlap; where they have neither, nothing in
training was like this.
"""

from collections.abc import Callable, Sequence

from tunesmith.analysis.cases import Case
from tunesmith.baselines.rag.index import Bm25Index, Search
from tunesmith.data.folding import normalised
from tunesmith.records import Example, Failure, Neighbour

NEAREST = 3


class TrainIndex:
    """Train examples, found by a question; an example never finds itself. By words, unless `make` says otherwise."""

    def __init__(self, examples: Sequence[Example], make: Callable[[Sequence[str]], Search] = Bm25Index) -> None:
        self._examples = tuple(examples)
        self._place = {example.id: i for i, example in enumerate(self._examples)}
        self._index = make([example.question for example in self._examples])

    def nearest(self, examples: Sequence[Example], k: int) -> list[list[Example]]:
        """For each example up to k train examples, nearest first."""
        itself = [{self._place[example.id]} if example.id in self._place else set() for example in examples]
        found = self._index.nearest([example.question for example in examples], k, itself)
        return [[self._examples[i] for i in places] for places in found]


def failures_of(cases: Sequence[Case], index: TrainIndex) -> list[Failure]:
    """The errors with their neighbours."""
    found = index.nearest([case.example for case in cases], NEAREST)
    return [_failure(case, near) for case, near in zip(cases, found, strict=True)]


def _failure(case: Case, found: Sequence[Example]) -> Failure:
    wanted, said = normalised(case.wanted), normalised(case.said)
    answers = [normalised(example.answer) for example in found]
    return Failure(
        example=case.example.id,
        outcome="wrong" if case.score is not None else "no answer" if case.answer.error is not None else "unscored",
        score=case.score,
        wanted=case.example.answer,
        said=case.answer.text,
        neighbours=tuple(neighbour_of(example) for example in found),
        taught=answers.count(wanted),
        misled=answers.count(said) if said != wanted else 0,
    )


def neighbour_of(example: Example) -> Neighbour:
    """A train example as a record."""
    return Neighbour(
        example=example.id, line=example.line, question=example.question, answer=example.answer, origin=example.origin
    )


def neighbours_of_all(cases: Sequence[Case], index: TrainIndex, limit: int) -> tuple[Neighbour, ...]:
    """The nearest train examples of several errors, each once, those of the first error first."""
    found: dict[str, Neighbour] = {}
    for near in index.nearest([case.example for case in cases[:limit]], NEAREST):
        for example in near:
            found.setdefault(example.id, neighbour_of(example))
    return tuple(found.values())[:limit]
