"""Models with the plain question, as `evaluate` compares them: no examples, no retrieved texts, no
constraint.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tunesmith.contenders.contender_models import get_remote_price, open_remote, read_service_notes
from tunesmith.contenders.prompting.few_shot import SystemPromptCompleter, SystemPromptLogprobs
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import ContenderSpec, Example, Recipe
from tunesmith.records.contender_kinds import TUNED, ZERO_SHOT


def build_plain_contender(
    name: str,
    model: ResolvedModel,
    instruction: str | None,
    examples: Sequence[Example],
    recipe: Recipe,
) -> RunnableContender:
    """The model, loaded."""
    limit = choose_answer_limit(count_answer_tokens(model, examples), recipe)
    loaded = model.load(recipe.training.dtype, recipe.evaluation.batch_size)
    kind = TUNED if is_tuned_model(model) else ZERO_SHOT
    spec = ContenderSpec(name=name, kind=kind.name, description="")
    contender = RunnableContender(spec, loaded.create_completer(limit), reference_model=loaded)
    return _add_instruction(contender, instruction)


def count_answer_tokens(model: ResolvedModel, examples: Sequence[Example]) -> list[int]:
    """Tokens of each reference answer."""
    answers = [example.answer for example in examples]
    return [len(encoded.ids) for encoded in model.tokenizer.encode(answers)]


def choose_answer_limit(answer_lengths: Sequence[int], recipe: Recipe) -> int:
    """The limit of an answer in tokens: the recipe's, else a quarter longer than the longest
    reference, plus 8.
    """
    longest = max(answer_lengths)
    return recipe.evaluation.max_new_tokens or longest + longest // 4 + 8


def is_tuned_model(model: ResolvedModel) -> bool:
    """Whether the model is an adapter or the result of a run."""
    return bool(model.identity.adapter) or (Path(model.identity.name) / "run.json").is_file()


def open_plain_remote_contenders(
    recipe: Recipe, listener: ProgressListener
) -> list[RunnableContender]:
    """The recipe's remote models except the judge. Errors: `RecipeError` without a price."""
    contenders = []
    for remote in recipe.evaluation.remote:
        if remote.name == recipe.judge.model:
            continue
        spec = ContenderSpec(
            name=remote.name,
            kind=ZERO_SHOT.name,
            description=f"{remote.model} at {remote.base_url}",
            token_price=get_remote_price(remote, recipe),
        )
        service = open_remote(remote, listener)
        contender = RunnableContender(
            spec, service, read_notes=partial(read_service_notes, service)
        )
        contenders.append(_add_instruction(contender, recipe.data.system_prompt))
    return contenders


def _add_instruction(contender: RunnableContender, instruction: str | None) -> RunnableContender:
    """The contender with an instruction before every question that has none; its description states
    it.
    """
    given = contender.spec.description
    if instruction is None:
        given = f"{given}, the question as in the data".removeprefix(", ")
        return replace(contender, spec=contender.spec.replace(description=given))
    model = contender.reference_model
    given = f'{given}, the instruction "{instruction}" and the question'.removeprefix(", ")
    return replace(
        contender,
        spec=contender.spec.replace(description=given),
        completer=SystemPromptCompleter(contender.completer, instruction),
        reference_model=SystemPromptLogprobs(model, instruction) if model else None,
    )
