"""The contenders: the ways to do the same task, each a `Completer` with a description of its
prompt.

No contender may be a straw man: each gets the best that training and validation examples can give
it. The base model, the tuned one and every remote one go through the same code; they differ only in
their `ContenderModel`. Contenders are built one after the other, because each makes its choices
when its turn comes.

    zero-shot             the question as it is
    zero-shot-constrained the same, with the answer constrained to the form of the training
                          answers (labels by likelihood, JSON)
    zero-shot+labels, zero-shot+schema
                          the labels, or the JSON format, shown in the system message: the way is
                          chosen
    NAME                  each of the user's own prompts (`evaluation.prompts`)
    few-shot              fixed training examples: how many, which, whether constrained or with the
                          labels is chosen
    searched              an instruction and examples, the best of `trials` prompts
    rag, rag-documents    the nearest training examples, or passages of documents
    tuned ...             the tuned model alone, constrained, with retrieved texts
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tunesmith.contenders.candidate_selection import (
    CandidateSelector,
    Selection,
    constrain_candidate,
    rank_shot_sets,
)
from tunesmith.contenders.contender_loading import build_inference_config
from tunesmith.contenders.contender_models import ContenderModel
from tunesmith.contenders.prompting.dspy_search import build_candidate, search_by_dspy
from tunesmith.contenders.prompting.few_shot import (
    add_instruction,
    append_instruction,
    count_characters,
    with_shots,
)
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.prompting.prompt_candidates import build_prompt_candidates
from tunesmith.contenders.prompting.prompt_instructions import (
    NO_INSTRUCTION,
    Instruction,
    write_instructions,
)
from tunesmith.contenders.prompting.shot_set_candidates import build_shot_candidates
from tunesmith.contenders.prompting.user_prompts import UserPrompt
from tunesmith.contenders.retrieval.document_passages import DocumentCollection
from tunesmith.contenders.retrieval.prompt_augmentation import (
    ExampleIndex,
    PassageIndex,
    RetrievalIndex,
)
from tunesmith.contenders.retrieval.retrieval_candidates import (
    DEFAULT_KS,
    build_retrieval_candidates,
)
from tunesmith.contenders.retrieval.search_index import get_search_factory
from tunesmith.contenders.successive_halving import (
    EMPTY_BUILDER,
    Candidate,
    Measure,
    Variants,
    make_no_variants,
)
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.evaluation.stats.intervals import rate_interval
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.records import (
    Completer,
    ContenderSpec,
    Example,
    OptimizedPrompt,
    OutputConstraint,
    Prompt,
    Quantity,
    ResolvedRecipe,
)
from tunesmith.records.contender_kinds import (
    CONTENDER_KINDS,
    FEW_SHOT,
    RETRIEVAL,
    TUNED,
    TUNED_RETRIEVAL,
    ZERO_SHOT,
    ContenderKind,
    list_contender_kinds,
)

PLAIN_CANDIDATE = Candidate.from_builder("plain prompt", "", EMPTY_BUILDER)
"""The bare question, with no choice to make."""


@dataclass
class PromptFindings:
    """What simpler kinds of contenders of one model found, for the more complex ones that follow.

    `instructions`: those that fit the model's context. `format_instruction`: the one that shows the
    labels or the JSON format best. `instruction`: that of the best searched prompt.
    """

    instructions: Sequence[Instruction] = ()
    format_instruction: Instruction | None = None
    instruction: Instruction = NO_INSTRUCTION


@dataclass
class ContenderFactory:
    """Builds contenders: each kind's own function (`ContenderKind.build`) is called with this
    factory, the simpler kinds first. Search indexes are built once.
    """

    recipe: ResolvedRecipe
    train: Sequence[Example]
    test: Sequence[Example]
    output_constraint: OutputConstraint | None
    selector: CandidateSelector
    documents: DocumentCollection | None = None
    prompts: Sequence[UserPrompt] = ()

    def __post_init__(self) -> None:
        retrieval = self.recipe.retrieval
        search = retrieval.search or "bm25"
        self.embedder = LocalEmbedder()
        make_search = get_search_factory(search, self.embedder if search != "bm25" else None)
        self.indexes: dict[str, RetrievalIndex] = {"rag": ExampleIndex(self.train, make_search)}
        if self.documents:
            passages, counted = self.documents.passages, self.documents.file_summary
            self.indexes["rag-documents"] = PassageIndex(passages, make_search, folder=counted)
        prompts = [example.prompt for example in [*self.train, *self.selector.examples]]
        self.prompts_longest_first = sorted(prompts, key=count_characters, reverse=True)

    def build_untuned_contenders(self, model: ContenderModel) -> Iterator[RunnableContender]:
        """The contenders of a model that is not tuned, the simpler kinds first."""
        yield from self._build_kinds(model, trained=False)

    def build_tuned_contenders(self, model: ContenderModel) -> Iterator[RunnableContender]:
        """The contenders of the tuned model, the simpler kinds first."""
        yield from self._build_kinds(model, trained=True)

    def _build_kinds(self, model: ContenderModel, *, trained: bool) -> Iterator[RunnableContender]:
        findings = PromptFindings()
        for kind in list_contender_kinds():
            if kind.build and kind.is_trained == trained:
                build = CONTENDER_KINDS.import_part(kind.name, kind.build)
                yield from build(self, model, findings)

    def build_zero_shot(
        self, model: ContenderModel, findings: "PromptFindings"
    ) -> Iterator[RunnableContender]:
        """The question alone, constrained, with the format shown, in the user's own prompts."""
        yield self.build_contender(model, "zero-shot", ZERO_SHOT, PLAIN_CANDIDATE)
        yield from self._build_constrained(model, "zero-shot", ZERO_SHOT)
        # An instruction that leaves no room for the longest question would fail on it.
        findings.instructions = [
            one
            for one in write_instructions(self.train, self.output_constraint, self.recipe.seed)
            if self._has_room_for_instruction(model, one)
        ]
        yield from self._build_with_format_shown(model, findings)
        for prompt in self.prompts:
            choice = self.select(model, prompt.name, ZERO_SHOT, [prompt.candidate])
            yield self.build_selected(model, prompt.name, ZERO_SHOT, choice)

    def build_few_shot(
        self, model: ContenderModel, findings: "PromptFindings"
    ) -> Iterator[RunnableContender]:
        """The best fixed examples; the best searched prompt."""
        shots = build_shot_candidates(
            self.train,
            self.recipe.evaluation.max_shots,
            self.recipe.seed,
            len(self.output_constraint.labels) if self.output_constraint else 0,
            self._find_longest_fitting_prompt(model),
            model.context_budget,
        )
        if shots:
            choice = self.select(
                model,
                "shots",
                FEW_SHOT,
                shots,
                lambda best: self._add_format_to_shots(model, best, findings.format_instruction),
            )
            yield self.build_selected(model, "few-shot", FEW_SHOT, choice)
            # The prompt search builds on the shot sets that did best.
            shots = rank_shot_sets(shots, choice)
        yield from self._build_searched_prompt(model, shots, findings)

    def build_retrieval(
        self, model: ContenderModel, findings: "PromptFindings"
    ) -> Iterator[RunnableContender]:
        """The nearest train examples or passages before the question, also with the searched
        instruction."""
        instructions = (NO_INSTRUCTION, findings.instruction)
        for name in self.indexes:
            yield self._build_retrieval(model, name, name, RETRIEVAL, instructions)

    def build_tuned(
        self, model: ContenderModel, findings: "PromptFindings"
    ) -> Iterator[RunnableContender]:
        """The tuned model alone and constrained."""
        yield self.build_contender(model, "tuned", TUNED, PLAIN_CANDIDATE)
        yield from self._build_constrained(model, "tuned", TUNED)

    def build_tuned_retrieval(
        self, model: ContenderModel, findings: "PromptFindings"
    ) -> Iterator[RunnableContender]:
        """The tuned model with retrieved texts. It was tuned on bare questions, so no instruction
        is tried."""
        for name in self.indexes:
            yield self._build_retrieval(
                model, name, f"tuned+{name}", TUNED_RETRIEVAL, (NO_INSTRUCTION,)
            )

    def _build_constrained(
        self, model: ContenderModel, name: str, kind: ContenderKind
    ) -> Iterator[RunnableContender]:
        if model.constrained:
            candidates = [
                constrain_candidate(PLAIN_CANDIDATE, completer, how)
                for how, completer in model.constrained
            ]
            choice = self.selector.select(
                _format_selection_name(model, f"{name} format"),
                candidates,
                model.unconstrained,
                model.price,
                kind=kind.name,
            )
            yield self.build_selected(model, f"{name}-constrained", kind, choice)

    def _find_longest_fitting_prompt(self, model: ContenderModel) -> Prompt:
        """The longest question that fits the model's context by itself: an outlier beyond that must
        not shrink all prompts.
        """
        fitting = (
            one
            for one in self.prompts_longest_first
            if model.context_budget is None or model.context_budget.fits(one)
        )
        return next(fitting, self.prompts_longest_first[-1])

    def _has_room_for_instruction(self, model: ContenderModel, instruction: Instruction) -> bool:
        """Whether the longest question still fits with the instruction."""
        if model.context_budget is None or not instruction.text:
            return True
        return model.context_budget.fits(
            append_instruction(self._find_longest_fitting_prompt(model), instruction.text)
        )

    def _build_with_format_shown(
        self, model: ContenderModel, findings: "PromptFindings"
    ) -> Iterator[RunnableContender]:
        """The contender that is shown the labels or the JSON format, in the best way."""
        if self.output_constraint is None:
            return
        name = name_format_contender(self.output_constraint)
        showing = {one.name: one for one in findings.instructions if one.shows_format}
        if not showing:
            self.selector.listener.note(
                "contender/left-out",
                f"skipping {_format_selection_name(model, name)}: with the "
                f"{'labels' if self.output_constraint.labels else 'keys'} and the longest "
                "question, no answer fits in the context of the model",
                contender=_format_selection_name(model, name),
            )
            return
        candidates = [
            Candidate.from_builder(
                one.name, f'the instruction "{one.name}"', PromptBuilder(one.text)
            )
            for one in showing.values()
        ]
        choice = self.select(model, name, ZERO_SHOT, candidates)
        yield self.build_selected(model, name, ZERO_SHOT, choice)
        findings.format_instruction = next(
            one for one in showing.values() if one.text == choice.candidate.instruction
        )

    def _add_format_to_shots(
        self, model: ContenderModel, best: Candidate, shown: Instruction | None
    ) -> list[Candidate]:
        """The best shots together with the labels or the JSON format, unconstrained and
        constrained, if a question still fits.
        """
        prompt = (
            with_shots(
                append_instruction(self._find_longest_fitting_prompt(model), shown.text), best.shots
            )
            if shown
            else ()
        )
        if shown is None or (
            model.context_budget is not None and not model.context_budget.fits(prompt)
        ):
            return []
        name = f"{best.unconstrained.name} + {shown.name}"
        given = f'the instruction "{shown.name}" and {best.unconstrained.description}'
        free = Candidate.from_builder(name, given, PromptBuilder(shown.text, best.shots))
        return [
            free,
            *(constrain_candidate(free, completer, how) for how, completer in model.constrained),
        ]

    def _build_searched_prompt(
        self, model: ContenderModel, shots: Sequence[Candidate], findings: "PromptFindings"
    ) -> Iterator[RunnableContender]:
        trials = self.recipe.evaluation.prompt_trials
        instructions = findings.instructions
        prompts = build_prompt_candidates(
            instructions,
            shots,
            trials,
            self._find_longest_fitting_prompt(model),
            model.context_budget,
        )
        is_by_dspy = self.recipe.evaluation.prompt_optimizer == "dspy"
        by_dspy = (
            self.selector.search(
                _format_selection_name(model, "prompt (DSPy)"),
                self._search_with_dspy,
                model.unconstrained,
                model.price,
            )
            if is_by_dspy
            else None
        )
        if by_dspy and by_dspy.optimized_prompt:
            prompts = [*prompts, build_candidate(by_dspy.optimized_prompt)]
        if prompts:
            choice = self.select(model, "prompt", FEW_SHOT, prompts).add_search_cost(by_dspy)
            findings.instruction = next(
                (one for one in instructions if one.text == choice.candidate.instruction),
                NO_INSTRUCTION,
            )
            yield self.build_selected(model, "searched", FEW_SHOT, choice)

    def _search_with_dspy(self, completer: Completer, measure: Measure) -> OptimizedPrompt:
        evaluation = self.recipe.evaluation
        return search_by_dspy(
            completer,
            self.train,
            self.selector.examples,
            measure,
            trials=max(1, evaluation.prompt_trials),
            shots=evaluation.max_shots,
            seed=self.recipe.seed,
        )

    def _build_retrieval(
        self,
        model: ContenderModel,
        index_name: str,
        name: str,
        kind: ContenderKind,
        instructions: Sequence[Instruction],
    ) -> RunnableContender:
        index, k = self.indexes[index_name], self.recipe.retrieval.top_k
        candidates = build_retrieval_candidates(
            index,
            (k,) if k else DEFAULT_KS,
            list(dict.fromkeys(instructions)),
            model.context_budget,
        )
        with self.embedder.remembering():  # all candidates embed the same questions
            choice = self.select(model, name, kind, candidates)
        asked = [add_instruction(example, choice.candidate.instruction) for example in self.test]
        hit_count = index.count_hits(asked, choice.candidate.k, model.context_budget)
        hits = rate_interval(hit_count, len(self.test))
        entrant = self.build_selected(model, name, kind, choice)
        quantity = Quantity(value=hits.value, low=hits.low, high=hits.high, n=hits.n)
        return replace(entrant, spec=entrant.spec.replace(retrieval_hit_rate=quantity))

    def select(
        self,
        model: ContenderModel,
        what: str,
        kind: ContenderKind,
        candidates: Sequence[Candidate],
        more: Variants = make_no_variants,
    ) -> Selection:
        """The best candidate, unconstrained or with the first constraint; then it with the other
        constraints, and `more`.
        """
        ways = {
            one.name: [
                constrain_candidate(one, completer, how) for how, completer in model.constrained
            ]
            for one in candidates
        }
        others = {first.name: rest for first, *rest in filter(None, ways.values())}
        # Not every constraint with every candidate, which would multiply the trials: the others are
        # tried for the best one only.
        both = [*candidates, *(first for first, *_ in filter(None, ways.values()))]

        def variants(best: Candidate) -> list[Candidate]:
            return [*others.get(best.name, ()), *more(best)]

        return self.selector.select(
            _format_selection_name(model, what),
            both,
            model.unconstrained,
            model.price,
            variants,
            kind.name,
        )

    def build_selected(
        self, model: ContenderModel, name: str, kind: ContenderKind, choice: Selection
    ) -> RunnableContender:
        """A contender with the candidate that was selected for it."""
        return self.build_contender(model, name, kind, choice.candidate, choice)

    def build_contender(
        self,
        model: ContenderModel,
        name: str,
        kind: ContenderKind,
        candidate: Candidate,
        choice: Selection | None = None,
    ) -> RunnableContender:
        """A contender of the model with this candidate's prompt; `choice`: how it was selected."""
        profile = ContenderSpec(
            name=f"{model.name}+{name}" if model.name else name,
            kind=kind.name,
            description=", ".join(
                part for part in (model.description, candidate.description) if part
            ),
            selection_notes=choice.result.sentences if choice and choice.is_worth_reporting else (),
            setup_seconds=model.setup_seconds
            + (choice.seconds if choice and model.price is None else 0.0),
            setup_usd_charged=choice.usd_charged if choice else 0.0,
            token_price=model.price,
        )
        index = next(
            (
                name
                for name, index in self.indexes.items()
                if index is candidate.prompt_builder.index
            ),
            None,
        )
        serving = build_inference_config(
            profile, model, candidate, index, self.recipe, self.output_constraint
        )
        return RunnableContender(
            profile,
            candidate.wrap(model.unconstrained),
            serving,
            model.reference_model if kind.has_reference_probability(profile.name) else None,
            model.read_notes,
        )


def name_format_contender(form: OutputConstraint) -> str:
    """Name of the contender that is shown the labels or the JSON format."""
    return "zero-shot+labels" if form.labels else "zero-shot+schema"


def _format_selection_name(model: ContenderModel, what: str) -> str:
    """What is chosen, with the model's name unless it is the local one."""
    return f"{model.name} {what}".strip()
