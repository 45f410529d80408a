"""The contenders: five ways to do the same task, each a `Completer`, and what each was given in words.

The baselines and the tuned contenders are made by the same lines around the base model and the tuned one.
"""

from collections.abc import Sequence

from tunesmith.baselines.prompt import FewShot, choose_shots
from tunesmith.baselines.rag.answer import ExampleIndex, RetrievedPassages, RetrievedShots
from tunesmith.baselines.rag.documents import Passage
from tunesmith.evaluation.evaluate import Entrant
from tunesmith.records import Completer, Example, Profile, Recipe

USUAL_K = 3


class Retrieval:
    """What RAG looks things up in: passages of documents where there are any, else the train examples."""

    def __init__(self, recipe: Recipe, train: Sequence[Example], passages: Sequence[Passage] | None) -> None:
        self.k = recipe.retrieval.k or USUAL_K
        self.passages = passages
        if passages is None:
            self.index = ExampleIndex(train)
            self.given = f"the {self.k} nearest of {len(train):,} train examples (BM25)"
        else:
            self.given = f"the {self.k} nearest of {len(passages):,} passages of {recipe.retrieval.documents} (BM25)"

    def around(self, completer: Completer) -> Completer:
        """The completer, given what was found for each question."""
        if self.passages is None:
            return RetrievedShots(completer, self.index, self.k)
        return RetrievedPassages(completer, self.passages, self.k)


def baseline_entrants(base: Completer, recipe: Recipe, train: Sequence[Example], retrieval: Retrieval) -> list[Entrant]:
    """The base model as it is in memory: alone, with fixed examples, with what retrieval finds."""
    shots = choose_shots(train, recipe.evaluation.shots, recipe.seed)
    told = "the instruction and the question" if recipe.data.instruction else "the question as it stands in the data"
    told = f"base model{' held in 4 bits' if recipe.adapter.kind == 'qlora' else ''}, {told}"
    return [
        _entrant("zero-shot", told, base),
        _entrant("few-shot", f"{told}, {len(shots)} fixed train examples", FewShot(base, shots)),
        _entrant("rag", f"{told}, {retrieval.given}", retrieval.around(base)),
    ]


def tuned_entrants(tuned: Completer, recipe: Recipe, retrieval: Retrieval, setup_seconds: float) -> list[Entrant]:
    """The tuned model: alone, and with what retrieval finds. Both needed the tuning."""
    told = "the instruction and the question" if recipe.data.instruction else "the question as it stands in the data"
    given = f"tuned model, {told}"
    return [
        _entrant("tuned", given, tuned, setup_seconds),
        _entrant("tuned+rag", f"{given}, {retrieval.given}", retrieval.around(tuned), setup_seconds),
    ]


def _entrant(kind: str, given: str, completer: Completer, setup_seconds: float = 0.0) -> Entrant:
    return Entrant(Profile(name=kind, kind=kind, given=given, setup_seconds=setup_seconds), completer)
