"""The contenders: five ways to do the same task, each a `Completer`, and what each was given in words.

The baselines and the tuned contenders are made by the same lines around the base model and the tuned one.
"""

from collections.abc import Sequence

from tunesmith.baselines.prompt import FewShot, choose_shots
from tunesmith.baselines.rag.answer import ExampleIndex, RetrievedPassages, RetrievedShots
from tunesmith.baselines.rag.documents import Passage
from tunesmith.evaluation.evaluate import Entrant
from tunesmith.records import Completer, Example, Recipe


class Retrieval:
    """What RAG looks things up in: passages of documents where there are any, else the train examples."""

    def __init__(self, recipe: Recipe, train: Sequence[Example], passages: Sequence[Passage] | None) -> None:
        evaluation = recipe.evaluation
        self.k = evaluation.retrieved
        self.passages = passages
        if passages is None:
            self.index = ExampleIndex(train)
            self.given = f"the {self.k} nearest of {len(train):,} train examples (BM25)"
        else:
            self.given = f"the {self.k} nearest of {len(passages):,} passages of {evaluation.documents} (BM25)"

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
        Entrant("zero-shot", "zero-shot", told, base),
        Entrant("few-shot", "few-shot", f"{told}, {len(shots)} fixed train examples", FewShot(base, shots)),
        Entrant("rag", "rag", f"{told}, {retrieval.given}", retrieval.around(base)),
    ]


def tuned_entrants(tuned: Completer, recipe: Recipe, retrieval: Retrieval, setup_seconds: float) -> list[Entrant]:
    """The tuned model: alone, and with what retrieval finds. Both needed the tuning."""
    told = "the instruction and the question" if recipe.data.instruction else "the question as it stands in the data"
    return [
        Entrant("tuned", "tuned", f"tuned model, {told}", tuned, setup_seconds),
        Entrant(
            "tuned+rag", "tuned+rag", f"tuned model, {told}, {retrieval.given}", retrieval.around(tuned), setup_seconds
        ),
    ]
