"""Who is asked: the base model and the tuned one (the same, before and after), and every remote model."""

from collections.abc import Iterator

from tunesmith.baselines.room import Room
from tunesmith.decision.prices import load_prices, price_of, token_price
from tunesmith.errors import RecipeError
from tunesmith.providers.local_model import LocalModel
from tunesmith.providers.remote import RemoteCompleter
from tunesmith.records import AnswerForm, Completer, Recipe, RemoteRecipe, TokenPrice
from tunesmith.workflow.lineup import Answerer

LABELS = "the likeliest label"
CALIBRATED = "the likeliest label, each beside how likely it is without a question"
JSON = "held to the JSON schema of the train answers"


def base_answerer(model: LocalModel, recipe: Recipe, form: AnswerForm | None) -> Answerer:
    """The model in memory before it is tuned."""
    told = f"base model{' held in 4 bits' if recipe.adapter.kind == 'qlora' else ''}, {_question(recipe)}"
    return _local("", told, model, recipe, form, 0.0)


def tuned_answerer(model: LocalModel, recipe: Recipe, form: AnswerForm | None, setup_seconds: float) -> Answerer:
    """The model in memory after tuning."""
    return _local("", f"tuned model, {_question(recipe)}", model, recipe, form, setup_seconds)


def remote_answerers(recipe: Recipe, form: AnswerForm | None) -> Iterator[Answerer]:
    """Every model behind a URL. Errors: `RecipeError` where its price is not known: nothing is spent blindly."""
    limit = recipe.evaluation.max_new_tokens or 1
    for remote in recipe.evaluation.remote:
        price = _price(remote, recipe)
        held: tuple[tuple[str, Completer], ...] = ()
        if form is not None and recipe.evaluation.constrained:
            held = ((JSON if form.json_schema else "held to the labels", RemoteCompleter(remote, limit, form)),)
        told = f"{remote.model} at {remote.url}, {_question(recipe)}"
        yield Answerer(remote.name, told, RemoteCompleter(remote, limit), held, price=price)


def _local(
    name: str, told: str, model: LocalModel, recipe: Recipe, form: AnswerForm | None, setup_seconds: float
) -> Answerer:
    limit = recipe.evaluation.max_new_tokens or 1
    held: tuple[tuple[str, Completer], ...] = ()
    if form is not None and recipe.evaluation.constrained:
        held = ((LABELS if form.labels else JSON, model.completer(limit, form)),)
        if form.labels:
            held += ((CALIBRATED, model.completer(limit, form, is_calibrated=True)),)
    context = model.loaded.context_length
    room = Room(model.named.tokenizer, context - limit)
    return Answerer(name, told, model.completer(limit), held, room, setup_seconds=setup_seconds)


def _question(recipe: Recipe) -> str:
    return "the instruction and the question" if recipe.data.instruction else "the question as it stands in the data"


def _price(remote: RemoteRecipe, recipe: Recipe) -> TokenPrice:
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
