"""A run -> the contender that its verdict names, ready to answer as it was measured.

Everything around a question was stored as data (`records.InferenceConfig`), and the search index is
in the run's `index/`: a winner still answers after its data and documents have changed or gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunesmith.contenders.contender_models import CALIBRATED_LABEL, ContenderModel
from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.retrieval.document_passages import Passage
from tunesmith.contenders.retrieval.prompt_augmentation import (
    ExampleIndex,
    PassageIndex,
    RetrievalIndex,
)
from tunesmith.contenders.retrieval.search_index import get_search_factory
from tunesmith.contenders.successive_halving import Candidate
from tunesmith.decision.rule_result import VerdictInput
from tunesmith.decision.verdict import apply_rules
from tunesmith.errors import ModelError, RunError, UsageError, truncate_list
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.providers.remote_model import open_remote_model
from tunesmith.records import (
    Completer,
    Completion,
    ContenderSpec,
    Decision,
    Evaluation,
    Example,
    InferenceConfig,
    Message,
    OutputConstraint,
    Prompt,
    Recipe,
    ResolvedRecipe,
    Run,
)
from tunesmith.records.contender_kinds import TUNED
from tunesmith.runs.contender_files import read_index, read_inference_config
from tunesmith.runs.run_folder import RunFolder

TUNED_CONTENDER = TUNED.name
"""Name and kind of the tuned model without anything around the question."""


SearchKind = Literal["bm25", "dense", "hybrid"]


@dataclass(frozen=True)
class ChosenContender:
    """Which contender of a run answers, and why, as a sentence."""

    inference_config: InferenceConfig
    reason: str


@dataclass(frozen=True)
class LoadedContender:
    """A contender that answers. `system` is put before conversations without a system message."""

    name: str
    reason: str
    system: str | None
    prompting: PromptBuilder
    completer: Completer
    model: LocalModel | None = None

    def build_prompt(self, prompt: Prompt) -> Prompt:
        """The conversation as the model reads it."""
        has_system = bool(prompt) and prompt[0].role == "system"
        whole = (
            (Message("system", self.system), *prompt) if self.system and not has_system else prompt
        )
        return self.prompting.rewrite_prompts([whole])[0]

    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """One completion for each conversation."""
        return self.completer.complete([self.build_prompt(prompt) for prompt in prompts])


def build_inference_config(
    profile: ContenderSpec,
    model: ContenderModel,
    candidate: Candidate,
    index: str | None,
    recipe: ResolvedRecipe,
    form: OutputConstraint | None,
) -> InferenceConfig:
    """How a contender is run, as data; `index` names its search index."""
    prompting = candidate.prompt_builder
    return InferenceConfig(
        contender=profile.name,
        kind=profile.kind,
        model=model.model,
        remote=model.remote,
        system=recipe.data.system_prompt,
        template=prompting.template,
        instruction=prompting.instruction,
        shots=tuple(shot.messages for shot in prompting.shots),
        index=index,
        k=prompting.k,
        search=recipe.retrieval.search or "bm25",
        max_prompt_tokens=model.context_budget.max_prompt_tokens if model.context_budget else None,
        output_constraint=form if candidate.output_constraint else None,
        is_calibrated=candidate.output_constraint == CALIBRATED_LABEL,
        max_new_tokens=recipe.evaluation.max_new_tokens,
    )


def choose_contender(folder: RunFolder, name: str | None = None) -> ChosenContender:
    """The contender of that name; else the winner; else the best one of the run.

    Errors: `UsageError` for an unknown name or an external system; `RunError` if the run does not
    record how its winner was run.
    """
    if name is not None:
        return ChosenContender(_find_named_config(folder, name), "")
    if not folder.has(Decision):
        return ChosenContender(
            _load_inference_config(folder, TUNED_CONTENDER),
            "No verdict yet; using the tuned model.",
        )
    decision, evaluation = folder.read(Decision), folder.read(Evaluation)
    winner = decision.winner
    if winner is not None and not evaluation.get_contender(winner).traits.is_external:
        return ChosenContender(
            _load_inference_config(folder, winner),
            f"Using {winner}, the winner (verdict: {decision.verdict}).",
        )
    best = _find_best_contender(evaluation, decision)
    if winner is not None:
        why = (
            f"The verdict is to keep {winner}, which tunesmith cannot run; using {best}, the "
            "best other contender."
        )
    elif decision.verdict == "cannot tell":
        why = f"The verdict is 'cannot tell'; using {best}, the contender to beat."
    else:
        why = (
            f"The verdict is '{decision.verdict}', no contender is good enough; using {best}, "
            "the best of them."
        )
    return ChosenContender(_load_inference_config(folder, best), why)


def _find_best_contender(evaluation: Evaluation, decision: Decision) -> str:
    """If there is no winner: the one that leads an inconclusive verdict, else the highest score, of
    equals the simplest.
    """
    result = apply_rules(
        VerdictInput(evaluation, decision.requirements, decision.usage_context, decision.forgetting)
    )
    if decision.verdict == "cannot tell" and result.best and not result.best.traits.is_external:
        return result.best.name
    ours = [contender for contender in result.ranking if not contender.traits.is_external]
    scored = [one for one in ours if one.metrics[evaluation.metric].n]
    # max takes the first of equals, the simplest
    return max(scored or ours, key=lambda one: one.metrics[evaluation.metric].value).name


def _find_named_config(folder: RunFolder, name: str) -> InferenceConfig:
    known = folder.list_contenders()
    if name not in known and name != TUNED_CONTENDER:
        raise UsageError(
            "no-such-contender",
            "run has no contender of this name",
            at=str(folder.path),
            got=name,
            hint=(
                f"use one of {', '.join(known)}"
                if known
                else "remove --contender to use the tuned model"
            ),
        )
    if name in known and folder.read_contender(name).spec.traits.is_external:
        raise UsageError(
            "outside-system",
            "answers of this contender came from a file, so it cannot be run",
            at=str(folder.path),
            got=name,
            hint="use that system itself; or choose another contender",
        )
    return _load_inference_config(folder, name)


def _load_inference_config(folder: RunFolder, name: str) -> InferenceConfig:
    config = read_inference_config(folder, name)
    if config is not None:
        return config
    recipe = folder.read_recipe()
    if (
        name == TUNED_CONTENDER
        # A run of `train`, or of an earlier version, has no stored config: its tuned model reads
        # the bare question.
    ):
        longest = recipe.evaluation.max_new_tokens or 256
        return InferenceConfig(
            contender=TUNED_CONTENDER,
            kind=TUNED_CONTENDER,
            model=TUNED_CONTENDER,
            system=recipe.data.system_prompt,
            max_new_tokens=longest,
        )
    raise RunError(
        "not-kept",
        f"run does not record how {name} was prompted",
        at=str(folder.path),
        got="a run of an earlier version of tunesmith",
        hint="run tunesmith decide on the data again; or use --contender tuned",
    )


def open_contender(
    folder: RunFolder, chosen: ChosenContender, max_new_tokens: int | None = None
) -> LoadedContender:
    """Load the model, index and prompt. `max_new_tokens`: another limit than the one it was
    measured with.

    Errors: `ModelError`, `RunError`, `MissingExtraError`; `ProviderError` once a remote one is
    called.
    """
    serving = chosen.inference_config
    if max_new_tokens is not None and serving.remote is not None:
        serving = serving.replace(remote=serving.remote.replace(max_tokens=max_new_tokens))
    index = open_index(folder, serving) if serving.index else None
    model = None if serving.remote else _load_model(folder, serving)
    limit = max_new_tokens or serving.max_new_tokens
    completer: Completer
    notice = None
    if serving.remote is not None:
        remote = open_remote_model(serving.remote)
        notice = remote.describe_key_use()
        completer = (
            remote.constrain(serving.output_constraint) if serving.output_constraint else remote
        )
    else:
        assert model is not None
        completer = (
            model.create_completer(
                limit, serving.output_constraint, is_calibrated=serving.is_calibrated
            )
            if serving.output_constraint
            else model.create_completer(limit)
        )
    room = (
        ContextBudget(model.resolved.tokenizer, model.loaded.context_length - limit)
        if model and index
        else None
    )
    prompting = build_prompting(serving, index, room)
    why = "; ".join(filter(None, (chosen.reason, notice)))
    return LoadedContender(
        f"{serving.contender} of {folder.id}", why, serving.system, prompting, completer, model
    )


def build_prompting(
    serving: InferenceConfig, index: RetrievalIndex | None, context_budget: ContextBudget | None
) -> PromptBuilder:
    """The prompt builder, restored from the stored config."""
    shots = tuple(Example(line=0, messages=messages) for messages in serving.shots)
    return PromptBuilder(
        serving.instruction, shots, serving.template, index, serving.k, context_budget
    )


def open_index(folder: RunFolder, serving: InferenceConfig) -> RetrievalIndex:
    """The contender's search index as it was when the run was made. Errors: `RunError` if it is
    missing or damaged.
    """
    assert serving.index is not None
    # Checked before parsing: an edited passage would silently change the answers.
    folder.check_integrity("index")
    return build_stored_index(folder.path / "index", serving.index, serving.search)


def build_stored_index(folder: Path, name: str, kind: SearchKind) -> RetrievalIndex:
    """The search index from its files in a folder. Errors: `RunError` if one is missing or
    damaged.
    """
    entries, vectors = read_index(folder, name)
    search = get_search_factory(kind, LocalEmbedder() if kind != "bm25" else None, vectors)
    try:
        if all("messages" in entry for entry in entries):
            return ExampleIndex([_parse_example(entry["messages"]) for entry in entries], search)
        return PassageIndex([Passage(entry["source"], entry["text"]) for entry in entries], search)
    except (KeyError, TypeError) as error:
        raise RunError(
            "damaged",
            f"cannot read {name}.jsonl",
            at=str(folder),
            got=f"{type(error).__name__}: {error}",
            hint="restore it from a copy; or repeat the run",
        ) from None


def _parse_example(messages: Sequence[dict[str, object]]) -> Example:
    turns = [{**one, "tool_calls": tuple(one.get("tool_calls", ()))} for one in messages]  # type: ignore[arg-type]
    return Example(line=0, messages=tuple(Message(**turn) for turn in turns))  # type: ignore[arg-type]


def _load_model(folder: RunFolder, serving: InferenceConfig) -> LocalModel:
    recipe = folder.read_recipe()
    if serving.model == TUNED_CONTENDER:
        named = ResolvedModel.open(str(folder.path))
        return named.load(recipe.training.dtype, recipe.evaluation.batch_size)
    return open_base_model(folder, recipe).load_for_recipe(recipe)


def open_base_model(folder: RunFolder, recipe: Recipe) -> ResolvedModel:
    """The run's base model. Errors: `ModelError` if its files are not those that were measured."""
    named = ResolvedModel.open(recipe.model, recipe.revision)
    measured = folder.read(Run).trained_model.files
    changed = sorted(name for name in measured if named.identity.files.get(name) != measured[name])
    if changed:
        raise ModelError(
            "changed",
            "base model differs from the one that was evaluated",
            at=named.identity.folder,
            got=truncate_list(changed),
            hint="restore the model; or run tunesmith decide again",
        )
    return named
