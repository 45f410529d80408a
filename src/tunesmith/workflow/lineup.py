"""The contenders: the ways to do the same task, each a `Completer`, and what each was given in words.

None may be a straw man: every one gets the best that the train and validation examples can give it. The base model, the
tuned one and every remote one are asked by the same lines; they differ in the `Answerer` alone. Entrants are made one
after the other, because each makes its choices when it is its turn.

    zero-shot             the question as it is
    zero-shot-constrained the same, and the answer keeps the form of the train answers (labels by likelihood, JSON)
    zero-shot+labels, zero-shot+schema
                          the labels, or the JSON that is asked for, shown in the system message: how is chosen
    NAME                  each prompt of the user's own (`evaluation.prompts`)
    few-shot              fixed train examples: how many, which, whether constrained or with the labels is chosen
    searched              an instruction and examples, the best of `trials` prompts
    rag, rag-documents    what is nearest to the question: train examples, passages of documents
    tuned ...             the tuned model alone, constrained, with what is nearest
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tunesmith.baselines.choosing import NOTHING_AROUND, Candidate, Measure, Variants, no_variants
from tunesmith.baselines.dspy import candidate_of, search_by_dspy
from tunesmith.baselines.instructions import NOTHING_ADDED, Instruction, instructions_for
from tunesmith.baselines.own_prompts import OwnPrompt
from tunesmith.baselines.prompt import added, characters_of, with_shots
from tunesmith.baselines.prompting import Prompting
from tunesmith.baselines.rag.answer import ExampleIndex, Index, PassageIndex
from tunesmith.baselines.rag.candidates import USUAL_KS, retrieval_candidates
from tunesmith.baselines.rag.documents import Documents
from tunesmith.baselines.rag.index import search_over
from tunesmith.baselines.searched import search_prompts
from tunesmith.baselines.shots import shot_candidates
from tunesmith.evaluation.evaluate import Entrant
from tunesmith.evaluation.stats.intervals import rate_interval
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.records import (
    AnswerForm,
    Completer,
    Example,
    FoundPrompt,
    Profile,
    Prompt,
    Quantity,
    Recipe,
)
from tunesmith.workflow.answerers import Answerer
from tunesmith.workflow.choices import Choice, Chooser, held
from tunesmith.workflow.serving import serving_of

AS_IT_IS = Candidate.of("as it is", "", NOTHING_AROUND)


@dataclass
class Lineup:
    """What contenders are made of. Indexes are made once; the searched instruction serves retrieval as well."""

    recipe: Recipe
    train: Sequence[Example]
    test: Sequence[Example]
    form: AnswerForm | None
    chooser: Chooser
    documents: Documents | None = None
    prompts: Sequence[OwnPrompt] = ()
    instruction: Instruction = field(default=NOTHING_ADDED, init=False)

    def __post_init__(self) -> None:
        retrieval = self.recipe.retrieval
        search = retrieval.search or "bm25"
        self.embedder = LocalEmbedder()
        make_search = search_over(search, self.embedder if search != "bm25" else None)
        self.indexes: dict[str, Index] = {"rag": ExampleIndex(self.train, make_search)}
        if self.documents:
            passages, counted = self.documents.passages, self.documents.counted
            self.indexes["rag-documents"] = PassageIndex(passages, make_search, folder=counted)
        prompts = [example.prompt for example in [*self.train, *self.chooser.examples]]
        self.longest_first = sorted(prompts, key=characters_of, reverse=True)

    def prompted(self, who: Answerer) -> Iterator[Entrant]:
        """A model that is not tuned: alone, with fixed examples, with a searched prompt, with what is nearest."""
        yield self._entrant(who, "zero-shot", "zero-shot", AS_IT_IS, who.free)
        yield from self._constrained(who, "zero-shot", "zero-shot")
        instructions = [
            one for one in instructions_for(self.train, self.form, self.recipe.seed) if self._fits(who, one)
        ]
        shown = yield from self._with_form(who, instructions)
        for prompt in self.prompts:
            choice = self._choose(who, prompt.name, [prompt.candidate])
            yield self._chosen(who, prompt.name, "zero-shot", choice)
        most, labels = self.recipe.evaluation.shots, len(self.form.labels) if self.form else 0
        shots = shot_candidates(self.train, most, self.recipe.seed, labels, self._longest(who), who.room)
        if shots:
            choice = self._choose(who, "shots", shots, lambda best: self._with_shown(who, best, shown))
            yield self._chosen(who, "few-shot", "few-shot", choice)
            shots = _in_order(shots, choice)
        yield from self._searched(who, shots, instructions)
        for name in self.indexes:
            yield self._retrieved(who, name, "rag", (NOTHING_ADDED, self.instruction))

    def tuned(self, who: Answerer) -> Iterator[Entrant]:
        """The tuned model: alone, held to the form, with what is nearest. It was tuned on bare questions."""
        yield self._entrant(who, "tuned", "tuned", AS_IT_IS, who.free)
        yield from self._constrained(who, "tuned", "tuned")
        for name in self.indexes:
            yield self._retrieved(who, f"tuned+{name}", "tuned+rag", (NOTHING_ADDED,))

    def _constrained(self, who: Answerer, name: str, kind: str) -> Iterator[Entrant]:
        if who.held:
            candidates = [held(AS_IT_IS, completer, how) for how, completer in who.held]
            choice = self.chooser.choose(_of(who, f"{name} form"), candidates, who.free, who.price)
            yield self._chosen(who, f"{name}-constrained", kind, choice)

    def _longest(self, who: Answerer) -> Prompt:
        """The longest question that the model can answer by itself: an outlier beyond that must not take the room of
        all prompts."""
        fitting = (one for one in self.longest_first if who.room is None or who.room.holds(one))
        return next(fitting, self.longest_first[-1])

    def _fits(self, who: Answerer, instruction: Instruction) -> bool:
        """Whether it leaves room for the longest question."""
        if who.room is None or not instruction.text:
            return True
        return who.room.holds(added(self._longest(who), instruction.text))

    def _with_form(
        self, who: Answerer, instructions: Sequence[Instruction]
    ) -> Generator[Entrant, None, Instruction | None]:
        """The contender that is shown the labels or the JSON, in the way that does best, which is returned."""
        if self.form is None:
            return None
        name = form_contender(self.form)
        showing = {one.name: one for one in instructions if one.shows_form}
        if not showing:
            self.chooser.listener.note(
                f"{_of(who, name)} is left out: with the {'labels' if self.form.labels else 'keys'} and the longest "
                f"question there is no room for an answer in the model's context"
            )
            return None
        candidates = [
            Candidate.of(one.name, f'the instruction "{one.name}"', Prompting(one.text)) for one in showing.values()
        ]
        choice = self._choose(who, name, candidates)
        yield self._chosen(who, name, "zero-shot", choice)
        return next(one for one in showing.values() if one.text == choice.candidate.instruction)

    def _with_shown(self, who: Answerer, best: Candidate, shown: Instruction | None) -> list[Candidate]:
        """The best shots beside the labels or the JSON, free and held, where they leave room for a question."""
        prompt = with_shots(added(self._longest(who), shown.text), best.shots) if shown else ()
        if shown is None or (who.room is not None and not who.room.holds(prompt)):
            return []
        name = f"{best.name.removesuffix(f', {best.held}')} + {shown.name}"
        given = f'the instruction "{shown.name}" and {best.given.removesuffix(f", {best.held}")}'
        free = Candidate.of(name, given, Prompting(shown.text, best.shots))
        return [free, *(held(free, completer, how) for how, completer in who.held)]

    def _searched(
        self, who: Answerer, shots: Sequence[Candidate], instructions: Sequence[Instruction]
    ) -> Iterator[Entrant]:
        trials = self.recipe.evaluation.trials
        prompts = search_prompts(instructions, shots, trials, self._longest(who), who.room)
        is_by_dspy = self.recipe.evaluation.optimiser == "dspy"
        by_dspy = (
            self.chooser.search(_of(who, "prompt (DSPy)"), self._by_dspy, who.free, who.price) if is_by_dspy else None
        )
        if by_dspy and by_dspy.found:
            prompts = [*prompts, candidate_of(by_dspy.found)]
        if prompts:
            choice = self._choose(who, "prompt", prompts).after(by_dspy)
            self.instruction = next(
                (one for one in instructions if one.text == choice.candidate.instruction), NOTHING_ADDED
            )
            yield self._chosen(who, "searched", "few-shot", choice)

    def _by_dspy(self, free: Completer, measure: Measure) -> FoundPrompt:
        evaluation = self.recipe.evaluation
        return search_by_dspy(
            free, self.train, self.chooser.examples, measure,
            trials=max(1, evaluation.trials), shots=evaluation.shots, seed=self.recipe.seed,
        )  # fmt: skip

    def _retrieved(self, who: Answerer, name: str, kind: str, instructions: Sequence[Instruction]) -> Entrant:
        index, k = self.indexes[name.removeprefix("tuned+")], self.recipe.retrieval.k
        candidates = retrieval_candidates(index, (k,) if k else USUAL_KS, list(dict.fromkeys(instructions)), who.room)
        with self.embedder.remembering():  # every candidate is asked the same questions
            choice = self._choose(who, name, candidates)
        asked = [_with_instruction(example, choice.candidate.instruction) for example in self.test]
        found = index.hits(asked, choice.candidate.prompting.k, who.room)
        hits = rate_interval(found, len(self.test))
        entrant = self._chosen(who, name, kind, choice)
        quantity = Quantity(value=hits.value, low=hits.low, high=hits.high, n=hits.n)
        return replace(entrant, profile=entrant.profile.model_copy(update={"retrieval_hits": quantity}))

    def _choose(
        self, who: Answerer, what: str, candidates: Sequence[Candidate], more: Variants = no_variants
    ) -> Choice:
        """The best candidate, free or held to the form in the first way; then it in the other ways, and `more`."""
        ways = {one.name: [held(one, completer, how) for how, completer in who.held] for one in candidates}
        others = {first.name: rest for first, *rest in filter(None, ways.values())}
        both = [*candidates, *(first for first, *_ in filter(None, ways.values()))]

        def variants(best: Candidate) -> list[Candidate]:
            return [*others.get(best.name, ()), *more(best)]

        return self.chooser.choose(_of(who, what), both, who.free, who.price, variants)

    def _chosen(self, who: Answerer, name: str, kind: str, choice: Choice) -> Entrant:
        return self._entrant(who, name, kind, choice.candidate, who.free, choice)

    def _entrant(
        self, who: Answerer, name: str, kind: str, candidate: Candidate, base: Completer, choice: Choice | None = None
    ) -> Entrant:
        profile = Profile(
            name=f"{who.name}+{name}" if who.name else name,
            kind=kind,
            given=", ".join(part for part in (who.told, candidate.given) if part),
            chosen=choice.chosen.sentences if choice and _says_something(choice) else (),
            setup_seconds=who.setup_seconds + (choice.seconds if choice and who.price is None else 0.0),
            setup_usd_charged=choice.usd_charged if choice else 0.0,
            token_price=who.price,
        )
        index = next((name for name, index in self.indexes.items() if index is candidate.prompting.index), None)
        serving = serving_of(profile, who, candidate, index, self.recipe, self.form)
        return Entrant(profile, candidate.around(base), serving)


def form_contender(form: AnswerForm) -> str:
    """What the contender is called that is shown the labels, or the JSON that is asked for."""
    return "zero-shot+labels" if form.labels else "zero-shot+schema"


def _of(who: Answerer, what: str) -> str:
    """What is chosen, and for whom where that is not the model on this machine."""
    return f"{who.name} {what}".strip()


def _with_instruction(example: Example, instruction: str) -> Example:
    """The example as a contender with this instruction is asked."""
    if not instruction:
        return example
    return replace(example, messages=(*added(example.prompt, instruction), example.messages[-1]))


def _says_something(choice: Choice) -> bool:
    """Among several there was a choice; an instruction of ours must be readable even if there was none."""
    return len(choice.chosen.trials) > 1 or bool(choice.candidate.instruction)


def _in_order(candidates: Sequence[Candidate], choice: Choice) -> list[Candidate]:
    """The shot sets, the best first, each once, as they are without a form."""
    ranked = [trial.candidate.shots for trial in choice.chosen.trials]  # free, held, and with the labels shown
    return sorted(candidates, key=lambda one: ranked.index(one.shots))
