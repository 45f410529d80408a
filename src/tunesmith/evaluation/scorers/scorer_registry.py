"""Which scorer fits: detected from the train answers, or named by the user.

A new scorer is one file, one line in `SCORERS`, one test.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import numpy as np

from tunesmith.data.final_answer import explain_reasoning, extract_final_answer
from tunesmith.data.label_detection import (
    MAX_SHORT_LABEL_CHARACTERS,
    count_possible_labels,
    find_labels,
)
from tunesmith.data.text_folding import FOLDINGS, Folding, choose_folding, find_merged_spellings
from tunesmith.data.tool_call_format import has_calls
from tunesmith.errors import DataError, RecipeError
from tunesmith.evaluation.scorers.code import CodeScorer, describe_protection
from tunesmith.evaluation.scorers.function import FunctionScorer
from tunesmith.evaluation.scorers.json_fields import parse_json
from tunesmith.evaluation.scorers.number import ANSWER_MARK, BOXED, extract_marked_part, has_mark
from tunesmith.evaluation.scorers.number_parsing import extract_unit, is_amount, is_number
from tunesmith.evaluation.scorers.scorer_protocol import MAX_OUTLIER_FRACTION, Scorer
from tunesmith.evaluation.scorers.similarity import SimilarityScorer
from tunesmith.plugins import Registry
from tunesmith.records import Embedder

MAX_RATINGS = 21
"""0 to 20: the longest scale on which people commonly rate."""
MAX_UNITS = 3

_PACKAGE = "tunesmith.evaluation.scorers"
SCORERS: Registry[Callable[[], Scorer]] = Registry(
    "tunesmith.scorers",
    "scorer",
    {
        "exact": f"{_PACKAGE}.normalized_match:ExactScorer",
        "normalised": f"{_PACKAGE}.normalized_match:NormalizedScorer",
        "label": f"{_PACKAGE}.label:LabelScorer",
        "number": f"{_PACKAGE}.number:NumberScorer",
        "json": f"{_PACKAGE}.json_fields:JsonScorer",
        "tool_calls": f"{_PACKAGE}.tool_calls:ToolCallsScorer",
        "rouge-l": f"{_PACKAGE}.rouge_l:RougeLScorer",
        "chrf": f"{_PACKAGE}.chrf:ChrfScorer",
        "bleu": f"{_PACKAGE}.bleu:BleuScorer",
        "ter": f"{_PACKAGE}.ter:TerScorer",
        "match": f"{_PACKAGE}.match:MatchScorer",
        "squad": f"{_PACKAGE}.squad:SquadScorer",
        "regex": f"{_PACKAGE}.regex:RegexScorer",
        "sql": f"{_PACKAGE}.sql:SqlScorer",
        "code": f"{_PACKAGE}.code:CodeScorer",
    },
)
"""Scorer classes; `build_scorer` makes an instance. `similarity` also needs a model, so it is not
listed here."""


def build_scorer(name: str, references: Sequence[str], option: str | None = None) -> Scorer:
    """The scorer of this name for these train answers; `option` is 0.01 in `number:0.01`.

    Errors: `PluginError` for an unknown name and for a plugin that does not make a scorer;
    `RecipeError` for a bad option.
    """
    scorer_class: Any = SCORERS.load(name)
    if option is not None:
        scorer = scorer_class.from_option(option, references)
    elif hasattr(scorer_class, "from_references"):
        scorer = scorer_class.from_references(references)
    else:
        scorer = scorer_class()
    SCORERS.check_part(name, scorer, ("name", "metric", "corpus_metrics", "score"))
    if scorer.name != name:  # a stored evaluation finds its scorer by that name again
        SCORERS.reject(name, f"a scorer whose name is {scorer.name!r}")
    return cast(Scorer, scorer)


def takes_option(name: str) -> bool:
    """Whether `name:option` may be written."""
    return hasattr(SCORERS.load(name), "from_option")


def choose_scorer(
    references: Sequence[str], name: str = "auto", embedder: Callable[[], Embedder] | None = None
) -> tuple[Scorer, str]:
    """(the scorer for these train answers, the reason as a sentence with numbers).

    `name` is a scorer's name, `name:option`, or `file.py:function`; `embedder` is called if texts
    need sentence vectors.

    Errors: `RecipeError` for an unknown name or an unusable file, `DataError` if there are no
    answers.
    """
    if not references:
        raise DataError(
            "no-answers",
            "cannot choose a scorer without answers",
            hint="add training examples that have an answer",
        )
    finals = [extract_final_answer(reference) for reference in references]
    reasoning = explain_reasoning(references)
    if name != "auto":
        scorer, reason = _build_named_scorer(name, finals, embedder)
    else:
        chosen, reason = _detect_scorer(finals)
        # Built from final answers only, as it will only see those.
        scorer = build_scorer(chosen, finals)
    return scorer, f"{reason} {reasoning}".rstrip()


def _build_named_scorer(
    name: str, references: Sequence[str], embedder: Callable[[], Embedder] | None
) -> tuple[Scorer, str]:
    # The last colon separates the function, because a path may contain colons.
    file, _, function = name.rpartition(":")
    if file.endswith(".py"):
        own = FunctionScorer(Path(file), function)
        return own, f"Your function {own.metric}, as configured ({file}, SHA-256 {own.sha256})."
    kind, has_option, option = name.partition(":")
    reason = f"Set as {name} in the configuration."
    if name == CodeScorer.name:
        reason = f"{reason} {describe_protection()}"
    if name == "similarity" and embedder is not None:
        scorer = SimilarityScorer(embedder())
        return scorer, f"{reason} Embedding model: {scorer.embedder.name}."
    if has_option and kind in SCORERS and takes_option(kind):
        return build_scorer(kind, references, option), reason
    if not has_option and name in SCORERS:
        return build_scorer(name, references), reason
    raise _make_unknown_error(name)


def _make_unknown_error(name: str) -> RecipeError:
    known = ["auto", *SCORERS, "similarity"]
    options = [f"{kind}:..." for kind in SCORERS if takes_option(kind)]
    near = get_close_matches(name.partition(":")[0], known, n=1, cutoff=0.4)
    do = f"write {near[0]!r}" if near and near[0] != name else "use one of these"
    if name == "similarity":
        do = "choose another scorer; or use it on a machine with an embedding model"
    return RecipeError(
        "unknown-scorer",
        (
            f"unknown scorer {name!r}"
            if name != "similarity"
            else "scorer similarity needs an embedding model"
        ),
        at="evaluation.scorer",
        got=f"known scorers: {', '.join([*known, *options])}, file.py:function",
        hint=do,
    )


def _detect_scorer(references: Sequence[str]) -> tuple[str, str]:
    n = len(references)
    uses = Counter(references)  # each distinct answer is checked once
    marked = sum(count for reference, count in uses.items() if _has_final_number(reference))
    calls = sum(count for reference, count in uses.items() if has_calls(reference))
    if 2 * calls > n:
        counted = f"All {n:,}" if calls == n else f"{calls:,} of {n:,}"
        reason = f"{counted} train answers are tool calls, so calls are compared."
        if calls < n:
            reason += f" The other {n - calls:,} call nothing: right is to call nothing there."
        return "tool_calls", reason
    # From the most specific format to the least: numbers with a marker, JSON, then plain text.
    if n - marked <= MAX_OUTLIER_FRACTION * n:
        counted = f"All {n:,}" if marked == n else f"{marked:,} of {n:,}"
        mark = (
            ANSWER_MARK
            if not any(BOXED in reference for reference in references)
            else f"{ANSWER_MARK} or \\boxed{{}}"
        )
        return (
            "number",
            (
                f"{counted} training answers end in {mark} and a number, so these numbers are "
                "compared."
            ),
        )
    strays = {
        reference: count for reference, count in uses.items() if not _is_json_container(reference)
    }
    if not strays:
        return "json", f"All {n:,} training answers are JSON, so fields are compared."
    count, first = sum(strays.values()), next(iter(strays))
    verb = "is" if count == 1 else "are"
    counted = (
        f"{count:,} of {n:,} training answers {verb} not a JSON object or list (the first is "
        f'"{_shorten(first)}")'
    )
    if count <= MAX_OUTLIER_FRACTION * n:
        return (
            "json",
            f"{counted}, all others are: fields are compared, and these answers as a whole.",
        )
    name, reason = _detect_text_scorer(references)
    # Mostly JSON: probably an error in the data, so the reason suggests a fix.
    if 2 * count < n:
        reason += f" {counted}: to compare fields, fix them and set evaluation.scorer to json."
    return name, reason


def _detect_text_scorer(references: Sequence[str]) -> tuple[str, str]:
    n = len(references)
    amounts = sum(count for reference, count in Counter(references).items() if is_amount(reference))
    if (
        n - amounts <= MAX_OUTLIER_FRACTION * n
        and not _are_ratings(references)
        and _have_few_units(references)
    ):
        counted = f"All {n:,}" if amounts == n else f"{amounts:,} of {n:,}"
        return (
            "number",
            (
                f"{counted} training answers are numbers, so values are compared regardless of "
                "notation."
            ),
        )
    labels = find_labels(references)
    if labels is not None:
        reason = (
            f"The {n:,} training answers are {len(labels.labels):,} labels of at most "
            f"{labels.max_characters} "
            f"characters.{_explain_strictness(labels.folding, references)}"
        )
        return "label", reason
    # The 90 % quantile, so that a few long answers do not make short ones free text.
    typical = int(np.quantile([len(reference) for reference in references], 0.9, method="higher"))
    if typical <= MAX_SHORT_LABEL_CHARACTERS:
        folding = choose_folding(references)
        distinct = len({folding(reference) for reference in references})
        compared = (
            f"whole answers are compared, ignoring {folding.ignored_differences}."
            + _explain_strictness(folding, references)
        )
        reason = (
            f"90 % of the {n:,} training answers have at most {typical} characters and "
            f"{distinct:,} are distinct, "
        )
        return "normalised", reason + "so " + compared + _suggest_labels(references)
    return (
        "rouge-l",
        f"10 % of the {n:,} training answers have {typical:,} characters or more: free text.",
    )


def _are_ratings(references: Sequence[str]) -> bool:
    """Whether the answers are a small set of small integers, each used repeatedly: grades, stars,
    class numbers. Those are labels."""
    values = {reference.strip() for reference in references}
    are_small = all(re.fullmatch(r"[-+]?\d{1,2}", value) for value in values)
    return are_small and len(values) <= MAX_RATINGS and find_labels(references) is not None


def _have_few_units(references: Sequence[str]) -> bool:
    """Whether the answers share few units. Quantities do; "12 monkeys", "3 idiots" are titles."""
    return len({extract_unit(reference) for reference in references}) <= max(
        MAX_UNITS, len(references) // 10
    )


def _explain_strictness(folding: Folding, references: Sequence[str]) -> str:
    """A sentence on answers that a more tolerant comparison would merge; "" if there are none."""
    place = FOLDINGS.index(folding)
    if place == 0:
        return ""
    pairs = find_merged_spellings(
        FOLDINGS[place - 1], Counter(reference.strip() for reference in references)
    )
    if not pairs:
        return ""
    one, other = pairs[0]
    sentence = (
        f" {_shorten(one)!r} and {_shorten(other)!r} both occur, so {folding.compared_differences}."
    )
    return f"{sentence} If they mean the same, use one spelling in the data."


def _suggest_labels(references: Sequence[str]) -> str:
    labels = count_possible_labels(references)
    if not labels:
        return ""
    uses = len(references) / labels
    return (
        f" If these are {labels:,} labels ({uses:.1f} uses each), use --set "
        "evaluation.scorer=label."
    )


def _has_final_number(text: str) -> bool:
    behind = extract_marked_part(text)
    return has_mark(text) and len(behind) <= MAX_SHORT_LABEL_CHARACTERS and is_number(behind)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:40]} …"


def _is_json_container(text: str) -> bool:
    try:
        return isinstance(parse_json(text), dict | list)
    except ValueError:
        return False
