"""Who is asked: the base model and the tuned one (the same, before and after), and every remote model but the judge.

Where answers cannot be held to the form of the train answers, the contenders that would be are left out with a note.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tunesmith.baselines.room import Room
from tunesmith.decision.prices import load_prices, price_of, token_price
from tunesmith.errors import ProviderError, RecipeError, UsageError
from tunesmith.providers.keys import told_of_key
from tunesmith.providers.local_model import LocalModel
from tunesmith.providers.remote import RemoteCompleter
from tunesmith.records import AnswerForm, Completer, Recipe, RemoteRecipe, TokenPrice
from tunesmith.workflow.listener import Listener
from tunesmith.workflow.material import Material

LABELS = "the likeliest label"
CALIBRATED = "the likeliest label, corrected for how common a label is"
"""The way that corrects for how common each label is."""
JSON = "held to the JSON schema of the train answers"


@dataclass(frozen=True)
class Answerer:
    """A model that can be asked: freely, and in the form of the train answers (each way with its name).

    `name` begins the names of its contenders ("" for the base model), `told` what each was given; `setup_seconds` is
    what had to be done before the first question; `notes` grow while it is asked.
    """

    name: str
    told: str
    free: Completer
    held: tuple[tuple[str, Completer], ...] = ()
    room: Room | None = None
    price: TokenPrice | None = None
    setup_seconds: float = 0.0
    notes: Sequence[str] = ()
    model: Literal["base", "tuned", "remote"] = "base"
    remote: RemoteRecipe | None = None


def base_answerer(model: LocalModel, recipe: Recipe, form: AnswerForm | None, listener: Listener) -> Answerer:
    """The model in memory before it is tuned."""
    told = f"base model{' held in 4 bits' if recipe.adapter.kind == 'qlora' else ''}, {_question(recipe)}"
    return _local(told, model, recipe, form, listener, 0.0)


def tuned_answerer(
    model: LocalModel, recipe: Recipe, form: AnswerForm | None, listener: Listener, setup_seconds: float
) -> Answerer:
    """The model in memory after tuning."""
    answerer = _local(f"tuned model, {_question(recipe)}", model, recipe, form, listener, setup_seconds)
    return replace(answerer, model="tuned")


def remote_answerers(material: Material, form: AnswerForm | None, listener: Listener) -> list[Answerer]:
    """Every model behind a URL but the judge, which would mark its own answers. Each is asked one validation question,
    so that what it refuses is known before the long work.

    Errors: `RecipeError` where its price is not known: nothing is spent blindly; `ProviderError` where it refuses.
    """
    recipe = material.recipe
    priced = [(one, price_of_remote(one, recipe)) for one in recipe.evaluation.remote if one.name != recipe.judge.model]
    answerers = []
    for remote, price in priced:
        listener.stage(f"reaching {remote.name}")
        question = [example.prompt for example in material.validation[:1]]
        free = open_remote(remote, listener)
        for error in filter(None, (completion.error for completion in free.complete(question))):
            listener.note(f"{remote.name} does not answer a first question: {error}")
        held: tuple[tuple[str, Completer], ...] = ()
        if form is not None and recipe.evaluation.constrained:
            constrained = RemoteCompleter(remote, form, standing=free.standing)
            try:
                constrained.complete(question)
                held = ((JSON if form.json_schema else "held to the labels", constrained),)
            except ProviderError as error:
                if error.code != "provider/form-refused":
                    raise
                listener.note(f"no constrained answers of {remote.name}: {error.what} {error.found}")
        told = f"{remote.model} at {remote.url}, {_question(recipe)}"
        answerers.append(
            Answerer(remote.name, told, free, held, price=price, notes=free.notes, model="remote", remote=remote)
        )
    return answerers


def open_remote(remote: RemoteRecipe, listener: Listener, form: AnswerForm | None = None) -> RemoteCompleter:
    """The model behind a URL; says first which key will be sent where, as a recipe may come from a stranger.

    Errors: `RecipeError` for a variable that is not sent; `ProviderError` without a key.
    """
    if told := told_of_key(remote):
        listener.note(f"{remote.name}: {told}")
    return RemoteCompleter(remote, form)


def _local(
    told: str, model: LocalModel, recipe: Recipe, form: AnswerForm | None, listener: Listener, setup_seconds: float
) -> Answerer:
    limit = recipe.evaluation.max_new_tokens or 1
    held: tuple[tuple[str, Completer], ...] = ()
    if form is not None and recipe.evaluation.constrained:
        held = _held(model, limit, form, listener)
    room = Room(model.named.tokenizer, model.loaded.context_length - limit)
    return Answerer("", told, model.completer(limit), held, room, setup_seconds=setup_seconds)


def _held(model: LocalModel, limit: int, form: AnswerForm, listener: Listener) -> tuple[tuple[str, Completer], ...]:
    """The ways to hold the model's answers to the form, each with its name; none where that cannot be done."""
    if form.labels:
        calibrated = model.completer(limit, form, is_calibrated=True)
        return (LABELS, model.completer(limit, form)), (CALIBRATED, calibrated)
    try:
        return ((JSON, model.completer(limit, form)),)
    except UsageError as error:
        if error.code != "usage/form-not-enforced":
            raise
        listener.note(f"no constrained answers: {error.what} {error.found}")
        return ()


def _question(recipe: Recipe) -> str:
    return "the instruction and the question" if recipe.data.instruction else "the question as it stands in the data"


def price_of_remote(remote: RemoteRecipe, recipe: Recipe) -> TokenPrice | None:
    """What it charges; None on this machine, whose hours are counted. Errors: `RecipeError` where nobody knows."""
    if remote.is_this_machine:
        return None
    if remote.usd_per_million_in is not None and remote.usd_per_million_out is not None:
        return TokenPrice(
            usd_per_million_in=remote.usd_per_million_in, usd_per_million_out=remote.usd_per_million_out,
            source="the recipe", date="",
        )  # fmt: skip
    row = price_of(remote.model, load_prices(recipe.cost.prices), remote.url)
    if row is None:
        raise RecipeError(
            "no-price", f"What {remote.model} costs is not known.", where=f"evaluation.remote {remote.name}",
            do="give usd_per_million_in and usd_per_million_out, or a row of your own: tunesmith prices --init",
        )  # fmt: skip
    return token_price(row)
