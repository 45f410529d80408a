"""Examples -> every problem."""

from collections.abc import Mapping
from pathlib import Path

from tunesmith.data.check import check_examples
from tunesmith.data.read import read_dataset
from tunesmith.errors import GateFailed, command_line
from tunesmith.models.resolve import known_models
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import CheckReport, Recipe
from tunesmith.workflow.listener import Listener


def check(
    data: Path | str,
    *,
    test: Path | str | None = None,
    model: str | None = None,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    max_tokens: int | None = None,
) -> CheckReport:
    """Every problem of a data set, worst first.

    With `test`, also what stands in both files. Lengths are counted in the tokens of `model`, by default the recipe's
    when it is on this machine, and held against `max_tokens`, by default its context; the report's `model` is None when
    nothing could be counted. Errors: `InputError` when the data or the model cannot be read at all.
    """
    loaded = read_dataset(data, columns, group)
    other = read_dataset(test, columns, group) if test else None
    model = model or _default_model()
    named = NamedModel.open(model) if model else None
    limit = max_tokens or (named.context_tokens if named else None)
    return check_examples(loaded, other, named.tokenizer if named else None, limit, model)


def _default_model() -> str | None:
    default = Recipe().model
    return default if any(known.name == default and known.ready for known in known_models()) else None


def tell_or_refuse(report: CheckReport, listener: Listener) -> None:
    """Every warning as a note. Errors: `GateFailed` when the report holds an error."""
    for problem in report.problems:
        if problem.severity == "warning":
            where = f"{problem.file or report.dataset.name} {problem.places()}".strip()
            listener.note(f"warning[{problem.code}]: {problem.message.rstrip('.')} ({where})")
    if report.errors:
        first = report.errors[0]
        kinds = ", ".join(problem.code for problem in report.errors)
        raise GateFailed(
            "data",
            f"The data has errors: {kinds}.",
            where=first.file or report.dataset.name,
            found=first.message,
            do=f"see all of them with line numbers: {command_line('check', Path(report.dataset.files[0].path))}",
        )
