"""A script's own functions and objects as contenders: anything that answers a question."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from time import perf_counter
from typing import Any, Literal

from tunesmith.contenders.custom_parts import CONTENDER_KEY, CustomParts, fingerprint_object
from tunesmith.contenders.external_contenders import make_contender_name
from tunesmith.errors import UsageError
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.evaluation.scorers.callable_scorer import CallableScorer
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.evaluation.scorers.scorer_registry import SCORERS
from tunesmith.records import Completer, Completion, ContenderSpec, ProgressCallback, Prompt
from tunesmith.records.contender_kinds import EXTERNAL

Answerer = Completer | Callable[[str], str]
"""A `Completer`, or a function from a question to its answer."""
Answerers = Answerer | Sequence[Answerer] | Mapping[str, Answerer]
Models = (
    str
    | PathLike[str]
    | Answerer
    | Sequence[str | PathLike[str] | Answerer]
    | Mapping[str, str | PathLike[str] | Answerer]
)
"""Models by name, folders of models and runs, and answerers; a mapping gives them names."""
ScorerLike = Scorer | Callable[..., Any]
SCORER_MEMBERS = ("name", "metric", "corpus_metrics", "score")


@dataclass(frozen=True)
class FunctionCompleter:
    """A `Completer` made of a function that answers one question after the other.

    `takes="question"`: it is called with the text of the question. `takes="messages"`: with the
    whole conversation, as dictionaries with `role` and `content`. An exception in it means that
    this question has no answer: it is counted, with its reason. Tokens are not known, so 0.
    """

    function: Callable[[Any], str]
    takes: Literal["question", "messages"] = "question"

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt. Errors: `UsageError` if the prompts are conversations and the
        function takes a question, or if it answers none of several.
        """
        if self.takes == "question":
            _check_single_questions(prompts)
        completions: list[Completion] = []
        for prompt in prompts:
            completions.append(self._answer(prompt))
            if progress is not None:
                progress(len(completions), len(prompts))
        failed = [one.error for one in completions if one.error is not None]
        # One failure may lie in its question. Where all fail, the function is broken, and scoring
        # it with zeros would be a verdict about a bug.
        if len(failed) == len(completions) > 1:
            raise UsageError(
                "function-fails",
                "function answers no question",
                at=get_name(self.function),
                got=failed[0],
                hint="call it with one question by itself",
            )
        return completions

    def _answer(self, prompt: Prompt) -> Completion:
        began, error, text = perf_counter(), None, None
        try:
            if self.takes == "question":
                text = self.function(prompt[-1].content)
            else:
                text = self.function([message.as_dict() for message in prompt])
        # the script's own code may raise anything
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        seconds = perf_counter() - began
        if error is None and not isinstance(text, str):
            error = f"it returned a {type(text).__name__}, and not a text"
        if error is not None:
            return Completion("", 0, 0, seconds, finished=False, error=error)
        return Completion(str(text), 0, 0, seconds)


def split_models(models: Models) -> tuple[dict[str, str], dict[str, Answerer]]:
    """(names or folders of models, answerers), each by its name as a contender.

    Errors: `UsageError` for two of one name, and for anything that cannot answer.
    """
    places: dict[str, str] = {}
    answerers: dict[str, Answerer] = {}
    for name, one in _name_each(models):
        if isinstance(one, str | PathLike):
            places[name] = fspath(one)
        else:
            answerers[name] = one
    return places, answerers


def build_custom_parts(
    answerers: Mapping[str, Answerer], scorer: ScorerLike | None = None
) -> CustomParts:
    """The script's contenders and scorer, with their fingerprints. Errors: `UsageError`."""
    fingerprints = {
        f"{CONTENDER_KEY}{make_contender_name(name)}": fingerprint_object(one)
        for name, one in answerers.items()
    }
    if scorer is not None:
        fingerprints["scorer"] = fingerprint_object(scorer)
    contenders = [
        RunnableContender(
            ContenderSpec(
                name=make_contender_name(name), kind=EXTERNAL.name, description=_describe(one)
            ),
            one if hasattr(one, "complete") else FunctionCompleter(one),
        )
        for name, one in answerers.items()
    ]
    return CustomParts(
        None if scorer is None else as_scorer(scorer), tuple(contenders), fingerprints
    )


def as_scorer(scorer: ScorerLike) -> Scorer:
    """A `Scorer` as it is, a function as one. Errors: `UsageError`."""
    if all(hasattr(scorer, member) for member in SCORER_MEMBERS):
        # A stored evaluation is recomputed by its scorer's name, which must not mean another one.
        name = scorer.name  # type: ignore[union-attr]
        if name in SCORERS and not isinstance(scorer, SCORERS.load(name)):  # type: ignore[arg-type]
            raise UsageError(
                "scorer-name",
                "scorer has the name of a built-in one",
                got=name,
                hint="give it another name",
            )
        return scorer  # type: ignore[return-value]
    if callable(scorer):
        return CallableScorer(scorer)
    raise UsageError(
        "not-a-scorer",
        "scorer is neither a function nor a Scorer",
        got=f"a {type(scorer).__name__}",
        hint="write def score(answer, reference): ..., or a class with "
        f"{', '.join(SCORER_MEMBERS)}",
    )


def get_name(answerer: object) -> str:
    """A function's own name, or an object's `name` or class."""
    inner = getattr(answerer, "function", answerer)
    name = getattr(inner, "name", None) or getattr(inner, "__name__", None)
    return "function" if name == "<lambda>" else str(name or type(inner).__name__)


def _name_each(models: Models) -> list[tuple[str, Any]]:
    named: list[tuple[str, Any]]
    if isinstance(models, Mapping):
        named = list(models.items())
    else:
        several = models if isinstance(models, list | tuple) else [models]
        named = [
            (fspath(one) if isinstance(one, str | PathLike) else get_name(one), one)
            for one in several
        ]
    for name, one in named:
        if not (isinstance(one, str | PathLike) or callable(one) or hasattr(one, "complete")):
            raise UsageError(
                "not-a-contender",
                "contender cannot answer questions",
                at=str(name),
                got=f"a {type(one).__name__}",
                hint="give a model's name, a folder, a function from question to answer, "
                "or a Completer",
            )
    names = [make_contender_name(str(name)) for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                "same-name",
                "two contenders have the same name",
                got=name,
                hint="give a dictionary with a name for each",
            )
    return [(str(name), one) for name, one in named]


def _describe(answerer: object) -> str:
    inner = getattr(answerer, "function", answerer)
    what = "function" if hasattr(inner, "__qualname__") else "object"
    owner = inner if what == "function" else type(inner)
    return f"the Python {what} {owner.__module__}.{owner.__qualname__}"  # type: ignore[attr-defined]


def _check_single_questions(prompts: Sequence[Prompt]) -> None:
    """A function that takes a question sees its text only: nothing else may differ between the
    prompts.
    """
    before = {tuple(one.content for one in prompt[:-1]) for prompt in prompts}
    has_turns = any(one.role != "system" for prompt in prompts for one in prompt[:-1])
    if has_turns or len(before) > 1:
        raise UsageError(
            "needs-messages",
            "function would see only the last turn of these conversations",
            got="earlier turns" if has_turns else f"{len(before):,} different system messages",
            hint='wrap it: tunesmith.FunctionCompleter(function, takes="messages")',
        )
