"""A user-defined Python function: loaded from its file once, then called for each answer."""

import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """Task: {"answer", "reference", "question"}; result: {name: score}, the function's own name
    first."""
    name = setup["function"]
    function = _load_function(Path(setup["file"]), name)
    takes_question = accepts_question(function)

    def call_function(piece: Any) -> Any:
        asked = (
            piece["answer"],
            piece["reference"],
            *([piece["question"]] if takes_question else []),
        )
        return check_scores(function(*asked), name)

    return call_function


def check_scores(value: Any, name: str) -> dict[str, float]:
    """The function's result as scores by name; its own name must be among them.

    Errors: ValueError for a result that is no score in [0, 1].
    """
    values = value if isinstance(value, dict) else {name: value}
    if name not in values:
        raise ValueError(
            f"it returned the scores {', '.join(map(str, values)) or 'none'}, and {name!r} "
            "must be one of them"
        )
    return {
        str(key): _check_score(key, values[key])
        for key in [name, *(key for key in values if key != name)]
    }


def _check_score(key: Any, value: Any) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"it returned {value!r:.80} for {key}, which is not a number") from None
    # `float` accepts strings such as "0.5"; a function that returns one has a bug.
    if isinstance(value, str) or not math.isfinite(score) or not 0 <= score <= 1:
        raise ValueError(f"it returned {value!r:.80} for {key}, which is not in [0, 1]")
    return score


def _load_function(file: Path, name: str) -> Callable[..., Any]:
    """The function. Errors: ImportError, whose message says what failed and where."""
    sys.path.insert(0, str(file.parent))  # `-I` removed it: the file may import its neighbors
    spec = importlib.util.spec_from_file_location("_scorer_of_the_user", file)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Registered before execution: dataclasses and pickling look the module up by name.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise ImportError(f"{_format_line(error, file)}{type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        own = sorted(key for key, value in vars(module).items() if inspect.isfunction(value))
        raise ImportError(f"it has no function {name!r}; its functions: {', '.join(own) or 'none'}")
    return function  # type: ignore[no-any-return]


def _format_line(error: BaseException, file: Path) -> str:
    """The line of the file where the error occurred, as `line 3: `; "" if unknown."""
    frames = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    in_file = isinstance(error, SyntaxError) and error.filename == str(file)
    line = (
        error.lineno
        if in_file and isinstance(error, SyntaxError)
        else (frames[-1] if frames else None)
    )
    return f"line {line}: " if line else ""


def accepts_question(function: Callable[..., Any]) -> bool:
    """Whether the function takes the question as a third argument.

    Errors: ImportError if it cannot be called with answer and reference.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return False
    for count in (3, 2):
        try:
            signature.bind(*[""] * count)
        except TypeError:
            continue
        return count == 3
    raise ImportError(
        f"it takes {signature}, and is called with (answer, reference) or (answer, reference,"
        " question)"
    )
