"""The models behind the contenders: the base model and the tuned one (one model, before and after),
and every remote model except the judge.

If answers cannot be constrained to the form of the training answers, the contenders that need it
are omitted with a note.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.errors import (
    ConstraintNotEnforceable,
    RecipeError,
    ResponseFormatRefused,
)
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import LocalModel
from tunesmith.providers.prices import build_token_price, find_price, load_prices
from tunesmith.providers.remote_model import RemoteModel, open_remote_model
from tunesmith.records import (
    Completer,
    LogprobModel,
    OutputConstraint,
    Prompt,
    Recipe,
    RemoteRecipe,
    ResolvedRecipe,
    TokenPrice,
)

BEST_LABEL = "the most likely label"
CALIBRATED_LABEL = "the most likely label, corrected for label frequency"
"""The constraint that corrects for the prior probability of each label."""
JSON_SCHEMA = "constrained to the JSON schema of the training answers"


@dataclass(frozen=True)
class ContenderModel:
    """A model that can be run unconstrained and in each output constraint (by name).

    `name` is the prefix of its contenders' names ("" for the base model), `description` says what
    it is; `setup_seconds` is the work before its first answer; `reference_model` computes the
    likelihood of reference answers, None if the model cannot.
    """

    name: str
    description: str
    unconstrained: Completer
    constrained: tuple[tuple[str, Completer], ...] = ()
    context_budget: ContextBudget | None = None
    price: TokenPrice | None = None
    setup_seconds: float = 0.0
    read_notes: Callable[[], Sequence[str]] = tuple
    reference_model: LogprobModel | None = None
    model: Literal["base", "tuned", "remote"] = "base"
    remote: RemoteRecipe | None = None

    @property
    def notes(self) -> Sequence[str]:
        """The limitations of its service that showed so far."""
        return self.read_notes()


def build_base_model(
    model: LocalModel,
    recipe: ResolvedRecipe,
    form: OutputConstraint | None,
    listener: ProgressListener,
) -> ContenderModel:
    """The model in memory, before tuning."""
    description = (
        f"base model{' in 4-bit weights' if recipe.adapter.load_in_4bit else ''}, "
        f"{_describe_prompt(recipe)}"
    )
    return _build_local_model(description, model, recipe, form, listener, 0.0)


def build_tuned_model(
    model: LocalModel,
    recipe: ResolvedRecipe,
    form: OutputConstraint | None,
    listener: ProgressListener,
    setup_seconds: float,
) -> ContenderModel:
    """The model in memory, after tuning."""
    # One model in memory, before and after: what differs is that the adapter is in place.
    answerer = _build_local_model(
        f"tuned model, {_describe_prompt(recipe)}", model, recipe, form, listener, setup_seconds
    )
    return replace(answerer, model="tuned")


def open_remote_models(
    recipe: Recipe,
    first_question: Sequence[Prompt],
    form: OutputConstraint | None,
    listener: ProgressListener,
) -> list[ContenderModel]:
    """Every remote model except the judge, which would grade its own answers. Each is sent
    `first_question` (one prompt, or none), so that a refusal shows before the long work.

    Errors: `RecipeError` if its price is unknown: no money is spent blindly; `ProviderError` if it
    refuses.
    """
    priced = [
        (one, get_remote_price(one, recipe))
        for one in recipe.evaluation.remote
        if one.name != recipe.judge.model
    ]
    answerers = []
    for remote, price in priced:
        listener.start_stage(f"connecting to {remote.name}")
        free = open_remote(remote, listener)
        for error in filter(
            None, (completion.error for completion in free.complete(first_question))
        ):
            listener.note(
                "service/no-answer",
                f"test request to {remote.name} failed: {error}",
                model=remote.name,
            )
        held: tuple[tuple[str, Completer], ...] = ()
        if form is not None and recipe.evaluation.constrained:
            constrained = free.constrain(form)
            try:
                constrained.complete(first_question)
                held = (
                    (JSON_SCHEMA if form.json_schema else "constrained to the labels", constrained),
                )
            # Only this refusal is a property of the service; every other error ends the command.
            except ResponseFormatRefused as error:
                listener.note(
                    "contender/not-constrained",
                    f"no constrained answers of {remote.name}: {error.summary}",
                    model=remote.name,
                )
        description = f"{remote.model} at {remote.base_url}, {_describe_prompt(recipe)}"
        answerers.append(
            ContenderModel(
                remote.name,
                description,
                free,
                held,
                price=price,
                read_notes=partial(read_service_notes, free),
                model="remote",
                remote=remote,
            )
        )
    return answerers


def read_service_notes(service: RemoteModel) -> tuple[str, ...]:
    """The limitations of a service that showed so far: more may show with the next request."""
    return tuple(service.notes)


def open_remote(
    remote: RemoteRecipe, listener: ProgressListener, form: OutputConstraint | None = None
) -> RemoteModel:
    """The model behind a URL; first reports which key will be sent where, because a recipe may come
    from someone else.

    Errors: `RecipeError` for a variable that may not be sent; `ProviderError` without a key.
    """
    model = open_remote_model(remote)
    if notice := model.describe_key_use():
        listener.note("service/limitation", f"{remote.name}: {notice}", model=remote.name)
    return model.constrain(form) if form else model


def _build_local_model(
    description: str,
    model: LocalModel,
    recipe: ResolvedRecipe,
    form: OutputConstraint | None,
    listener: ProgressListener,
    setup_seconds: float,
) -> ContenderModel:
    limit = recipe.evaluation.max_new_tokens
    held: tuple[tuple[str, Completer], ...] = ()
    if form is not None and recipe.evaluation.constrained:
        held = _build_constrained_completers(model, limit, form, listener)
    room = ContextBudget(model.resolved.tokenizer, model.loaded.context_length - limit)
    return ContenderModel(
        "",
        description,
        model.create_completer(limit),
        held,
        room,
        setup_seconds=setup_seconds,
        reference_model=model,
    )


def _build_constrained_completers(
    model: LocalModel, limit: int, form: OutputConstraint, listener: ProgressListener
) -> tuple[tuple[str, Completer], ...]:
    """The ways to constrain the model's answers to the form, each with its name; none if it cannot
    be enforced.
    """
    if form.labels:
        calibrated = model.create_completer(limit, form, is_calibrated=True)
        return (BEST_LABEL, model.create_completer(limit, form)), (CALIBRATED_LABEL, calibrated)
    try:
        return ((JSON_SCHEMA, model.create_completer(limit, form)),)
    except ConstraintNotEnforceable as error:
        listener.note("contender/not-constrained", f"no constrained answers: {error.summary}")
        return ()


def _describe_prompt(recipe: Recipe) -> str:
    return (
        "the instruction and the question"
        if recipe.data.system_prompt
        else "the question as in the data"
    )


def get_remote_price(remote: RemoteRecipe, recipe: Recipe) -> TokenPrice | None:
    """What the service charges; None if it runs on this machine, where time is counted. Errors:
    `RecipeError` if unknown.
    """
    if remote.is_local:
        return None
    if remote.usd_per_million_in is not None and remote.usd_per_million_out is not None:
        return TokenPrice(
            usd_per_million_in=remote.usd_per_million_in,
            usd_per_million_out=remote.usd_per_million_out,
            source="the recipe",
            date="",
        )
    row = find_price(remote.model, load_prices(recipe.cost.prices), remote.base_url)
    if row is None:
        raise RecipeError(
            "no-price",
            f"no price for {remote.model}",
            at=f"evaluation.remote {remote.name}",
            hint=(
                "set usd_per_million_in and usd_per_million_out; or add your own price: "
                "tunesmith prices --init"
            ),
        )
    return build_token_price(row)
