"""Examples -> all problems."""

from collections.abc import Mapping
from pathlib import Path

from tunesmith.data.check import check_examples
from tunesmith.data.interop.dataset_loader import load_data
from tunesmith.data.read.column_mapping import format_mapping
from tunesmith.data.read.dataset_reader import pause_collection
from tunesmith.errors import GateFailed, RecipeError, format_command_line
from tunesmith.models.resolve import list_known_models
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import CheckReport, DataDescription, DataRecipe, Method, Recipe


def check(
    data: Path | str,
    *,
    test: Path | str | None = None,
    model: str | None = None,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    method: Method | None = None,
    max_tokens: int | None = None,
) -> CheckReport:
    """All problems of a data set, worst first; rows that match several formats are read as `method`
    needs them.

    With `test`, also overlaps between both files. Lengths are counted in the tokens of `model`, by
    default the recipe's if it is on this machine, and compared with `max_length`, by default its
    context; the report's `model` is None if nothing could be counted. Errors: `InputError` if the
    data or the model cannot be read at all.
    """
    return check_and_describe(
        data,
        test=test,
        model=model,
        columns=columns,
        group=group,
        method=method,
        max_tokens=max_tokens,
    )[0]


def check_and_describe(
    data: Path | str,
    *,
    test: Path | str | None = None,
    model: str | None = None,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    method: Method | None = None,
    max_tokens: int | None = None,
) -> tuple[CheckReport, DataDescription | None]:
    """As `check`, with a description of what a decision will make of the data: None if they have an
    error.
    """
    read_as = DataRecipe(
        path=str(data),
        test_path=str(test) if test else None,
        columns=dict(columns or {}),
        group_column=group,
        max_length=max_tokens,
    )
    given = {"model": model, "method": method}
    recipe = Recipe(data=read_as).replace(**{k: v for k, v in given.items() if v is not None})
    return check_recipe(recipe)


def check_recipe(recipe: Recipe) -> tuple[CheckReport, DataDescription | None]:
    """The problems of the recipe's data, and what a decision by this recipe will make of them.

    A method and a model count only where the recipe names them: without a method every format is
    read, without a model lengths are counted only if the default one is on this machine. Errors: as
    `check`.
    """
    with pause_collection():
        return _check_recipe(recipe)


def _check_recipe(recipe: Recipe) -> tuple[CheckReport, DataDescription | None]:
    read_as, named_keys = recipe.data, recipe.model_fields_set
    method = recipe.method if "method" in named_keys else None
    loaded = load_data(read_as.path or "", read_as, method)
    test = load_data(read_as.test_path, read_as, method) if read_as.test_path else None
    name = _name_or_folder(recipe.model) if "model" in named_keys else _find_default_model()
    named = ResolvedModel.open(name) if name else None
    report = check_examples(
        loaded,
        test,
        named.tokenizer if named else None,
        resolve_token_limit(read_as.max_length, named),
        recipe.model if "model" in named_keys else name,
        method,
        is_contamination_error=True,
    )
    if report.errors or not loaded.examples:
        return report, None
    # imported here, because it loads much that the checks do without
    from tunesmith.workflow.data_summary import describe_data

    return report, describe_data(loaded, test, named, recipe)


def resolve_token_limit(max_tokens: int | None, named: ResolvedModel | None) -> int | None:
    """Maximum tokens of an example: `max_length`, else the model's context; None if neither is
    known.

    Errors: `RecipeError` if it exceeds the model's positions: the model was never trained on those,
    and training on them fails silently.
    """
    context = named.context_tokens if named else None
    if max_tokens is not None and context is not None and max_tokens > context:
        raise RecipeError(
            "past-the-context",
            "data.max_length exceeds the context length of the model",
            at="data.max_length",
            got=f"{max_tokens:,} tokens, context length {context:,}",
            hint=f"lower it to {context:,}; or use a model with a longer context",
        )
    return max_tokens or context


def build_check_command(recipe: Recipe) -> list[object]:
    """Arguments for `format_command_line`: a check that reads the recipe's data as the recipe
    does.
    """
    data, plain = recipe.data, Recipe()
    given = {
        "--test": data.test_path and Path(data.test_path),
        "--columns": format_mapping(data.columns) if data.columns else None,
        "--group": data.group_column,
        "--method": recipe.method if recipe.method != plain.method else None,
        "--model": recipe.model if recipe.model != plain.model else None,
        "--max-tokens": data.max_length,
    }
    words = [word for flag, value in given.items() if value is not None for word in (flag, value)]
    return ["check", Path(data.path or ""), *words]


def _name_or_folder(model: str) -> str:
    # imported here: the store loads a database library, which is slow
    from tunesmith.runs.local_inventory import resolve_run_or_name

    return resolve_run_or_name(model)


def _find_default_model() -> str | None:
    default = Recipe().model
    return (
        default
        if any(known.name == default and known.is_available for known in list_known_models())
        else None
    )


def report_problems(report: CheckReport, listener: ProgressListener, recipe: Recipe) -> None:
    """Report every warning as a note. Errors: `GateFailed` if the report contains an error."""
    for problem in report.problems:
        if problem.severity == "warning":
            where = f"{problem.file or report.dataset.name} {problem.format_places()}".strip()
            listener.warn(
                problem.code,
                f"{problem.summary} ({where})",
                count=problem.count,
                lines=problem.lines,
            )
    if report.errors:
        first = report.errors[0]
        kinds = ", ".join(problem.code for problem in report.errors)
        raise GateFailed(
            "data",
            f"data has errors: {kinds}",
            at=first.file or report.dataset.name,
            got=first.summary,
            hint=(
                "list all of them with line numbers: "
                f"{format_command_line(*build_check_command(recipe))}"
            ),
        )
