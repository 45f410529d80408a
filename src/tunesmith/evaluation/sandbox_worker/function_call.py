"""A Python function of the user's own: loaded from its file once, then called for each answer."""

import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """Piece: {"answer", "reference", "question"}; gives {name: score} with the function's own name first."""
    name = setup["function"]
    function = _load_function(Path(setup["file"]), name)
    takes_question = _accepts_question(function)

    def call_function(piece: Any) -> Any:
        asked = (piece["answer"], piece["reference"], *([piece["question"]] if takes_question else []))
        return check_scores(function(*asked), name)

    return call_function


def check_scores(value: Any, name: str) -> dict[str, float]:
    """What a function may give: a score, or scores by name with its own among them. Errors: ValueError."""
    values = value if isinstance(value, dict) else {name: value}
    if name not in values:
        raise ValueError(
            f"it gave the scores {', '.join(map(str, values)) or 'none'}, and {name!r} must be one of them"
        )
    return {str(key): _check_score(key, values[key]) for key in [name, *(key for key in values if key != name)]}


def _check_score(key: Any, value: Any) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"it gave {value!r:.80} for {key}, which is no number") from None
    if isinstance(value, str) or not math.isfinite(score) or not 0 <= score <= 1:
        raise ValueError(f"it gave {value!r:.80} for {key}, which is not in [0, 1]")
    return score


def _load_function(file: Path, name: str) -> Callable[..., Any]:
    """The function. Errors: ImportError, whose text says what and where."""
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location("_scorer_of_the_user", file)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise ImportError(f"{_format_line(error, file)}{type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        own = sorted(key for key, value in vars(module).items() if inspect.isfunction(value))
        raise ImportError(f"there is no function {name!r} in it; it has {', '.join(own) or 'none'}")
    return function  # type: ignore[no-any-return]


def _format_line(error: BaseException, file: Path) -> str:
    """`line 3: `, where in the file it went wrong."""
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    in_file = isinstance(error, SyntaxError) and error.filename == str(file)
    line = error.lineno if in_file and isinstance(error, SyntaxError) else (frames[-1] if frames else None)
    return f"line {line}: " if line else ""


def _accepts_question(function: Callable[..., Any]) -> bool:
    """The function takes the question, too. Errors: ImportError when it cannot take answer and reference."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built-in functions that do not tell
        return False
    for count in (3, 2):
        try:
            signature.bind(*[""] * count)
        except TypeError:
            continue
        return count == 3
    raise ImportError(f"it takes {signature}, and is called with (answer, reference) or (answer, reference, question)")
