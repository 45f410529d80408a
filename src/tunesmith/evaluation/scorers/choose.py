"""Which scorer fits: found by looking at the train answers, or named.

A new scorer is one file, one line in `SCORERS`, one test.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from tunesmith.data.final_answer import explain_reasoning, final_answer
from tunesmith.data.folding import FOLDINGS, Folding, folding_for, merged_by
from tunesmith.data.label_set import SHORT_CHARACTERS, find_labels, may_be_labels
from tunesmith.errors import DataError, RecipeError
from tunesmith.evaluation.scorers.bleu import BleuScorer
from tunesmith.evaluation.scorers.chrf import ChrfScorer
from tunesmith.evaluation.scorers.code import CodeScorer, describe_protection
from tunesmith.evaluation.scorers.exact import ExactScorer
from tunesmith.evaluation.scorers.function import FunctionScorer
from tunesmith.evaluation.scorers.json_fields import JsonScorer, parse_json
from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.evaluation.scorers.match import MatchScorer
from tunesmith.evaluation.scorers.normalised import NormalisedScorer
from tunesmith.evaluation.scorers.number import BOXED, MARK, NumberScorer, has_mark, marked_part
from tunesmith.evaluation.scorers.number_text import is_amount, is_number, unit_in
from tunesmith.evaluation.scorers.regex import RegexScorer
from tunesmith.evaluation.scorers.rouge_l import RougeLScorer
from tunesmith.evaluation.scorers.scorer import STRAY_SHARE, Scorer
from tunesmith.evaluation.scorers.similarity import SimilarityScorer
from tunesmith.evaluation.scorers.sql import SqlScorer
from tunesmith.evaluation.scorers.squad import SquadScorer
from tunesmith.records import Embedder

MOST_RATINGS = 21
"""From 0 to 20, as the longest scales that people rate on."""
MOST_UNITS = 3

SCORERS: dict[str, Callable[[Sequence[str]], Scorer]] = {
    "exact": lambda references: ExactScorer(),
    "normalised": lambda references: NormalisedScorer(references),
    "label": lambda references: LabelScorer(references),
    "number": lambda references: NumberScorer(references),
    "json": lambda references: JsonScorer(),
    "rouge-l": lambda references: RougeLScorer(),
    "chrf": lambda references: ChrfScorer(),
    "bleu": lambda references: BleuScorer(),
    "match": lambda references: MatchScorer(),
    "squad": lambda references: SquadScorer(),
    "regex": lambda references: RegexScorer(),
    "sql": lambda references: SqlScorer(),
    "code": lambda references: CodeScorer(),
}
"""Each is made from the train answers; most need nothing of them. `similarity` needs a model besides."""

OPTIONS: dict[str, Callable[[str, Sequence[str]], Scorer]] = {
    "number": lambda tolerance, references: NumberScorer(references, _tolerance(tolerance)),
    "match": lambda words, references: MatchScorer(words),
    "squad": lambda deciding, references: SquadScorer(deciding),
    "regex": lambda pattern, references: RegexScorer(pattern),
    "sql": lambda file, references: SqlScorer.of_file(Path(file)),
}
"""`name:option`, for those that take one; made from the option and the train answers."""


def choose_scorer(
    references: Sequence[str], name: str = "auto", embedder: Callable[[], Embedder] | None = None
) -> tuple[Scorer, str]:
    """The scorer for these train answers and why, as a sentence with numbers.

    `name` is a scorer's, `name:option`, or `file.py:function`; `embedder` is called where texts must become points.
    Errors: `RecipeError` for an unknown name or a file that cannot be used, `DataError` when there is no answer to
    look at.
    """
    if not references:
        raise DataError(
            "no-answers", "No scorer can be chosen without answers.", do="add train examples that have an answer"
        )
    finals = [final_answer(reference) for reference in references]
    reasoning = explain_reasoning(references)
    if name != "auto":
        scorer, reason = _named(name, finals, embedder)
    else:
        chosen, reason = _look(finals)
        scorer = SCORERS[chosen](finals)
    return scorer, f"{reason} {reasoning}".rstrip()


def _named(name: str, references: Sequence[str], embedder: Callable[[], Embedder] | None) -> tuple[Scorer, str]:
    file, _, function = name.rpartition(":")
    if file.endswith(".py"):
        own = FunctionScorer(Path(file), function)
        return own, f"Your function {own.metric} was named ({file}, SHA-256 {own.sha256})."
    kind, has_option, option = name.partition(":")
    reason = f"The scorer {name} was named."
    if name == CodeScorer.name:
        reason = f"{reason} {describe_protection()}"
    if name == "similarity" and embedder is not None:
        scorer = SimilarityScorer(embedder())
        return scorer, f"{reason} Texts were embedded by {scorer.embedder.name}."
    if has_option and kind in OPTIONS:
        return OPTIONS[kind](option, references), reason
    if name in SCORERS:
        return SCORERS[name](references), reason
    raise _unknown(name)


def _unknown(name: str) -> RecipeError:
    known = ["auto", *SCORERS, "similarity"]
    options = [f"{kind}:..." for kind in OPTIONS]
    near = get_close_matches(name.partition(":")[0], known, n=1, cutoff=0.4)
    do = f"write {near[0]!r}" if near and near[0] != name else "take one of these"
    if name == "similarity":
        do = "name another, or use it where there is an embedding model"
    return RecipeError(
        "unknown-scorer",
        f"There is no scorer {name!r}." if name != "similarity" else "The scorer similarity needs an embedding model.",
        where="evaluation.scorer",
        found=f"known are {', '.join([*known, *options])}, file.py:function",
        do=do,
    )


def _tolerance(text: str) -> float:
    """`0.01` in `number:0.01`: how far off, as a share of the reference."""
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = -1.0
    if not 0 <= tolerance < 1:
        raise RecipeError(
            "bad-tolerance", "The tolerance of the scorer number is a share of the reference.",
            where="evaluation.scorer", found=text, do="write a number from 0 to below 1, as in number:0.01",
        )  # fmt: skip
    return tolerance


def _look(references: Sequence[str]) -> tuple[str, str]:
    n = len(references)
    uses = Counter(references)  # each different answer is looked at once
    marked = sum(count for reference, count in uses.items() if _ends_in_number(reference))
    if n - marked <= STRAY_SHARE * n:
        counted = f"All {n:,}" if marked == n else f"{marked:,} of {n:,}"
        mark = MARK if not any(BOXED in reference for reference in references) else f"{MARK} or \\boxed{{}}"
        return "number", f"{counted} train answers end in {mark} and a number, so those numbers are compared."
    strays = {reference: count for reference, count in uses.items() if not _is_json_container(reference)}
    if not strays:
        return "json", f"All {n:,} train answers are JSON, so fields are compared."
    count, first = sum(strays.values()), next(iter(strays))
    verb = "is" if count == 1 else "are"
    told = f'{count:,} of {n:,} train answers {verb} no JSON object or list (the first is "{_short(first)}")'
    if count <= STRAY_SHARE * n:
        return "json", f"{told}, all others are: fields are compared, and those as a whole."
    name, reason = _look_at_text(references)
    if 2 * count < n:
        reason += f" {told}: to compare fields, mend them and set evaluation.scorer to json."
    return name, reason


def _look_at_text(references: Sequence[str]) -> tuple[str, str]:
    n = len(references)
    amounts = sum(count for reference, count in Counter(references).items() if is_amount(reference))
    if n - amounts <= STRAY_SHARE * n and not _are_ratings(references) and _have_few_units(references):
        counted = f"All {n:,}" if amounts == n else f"{amounts:,} of {n:,}"
        return "number", f"{counted} train answers are numbers, so numbers are compared, however they are written."
    labels = find_labels(references)
    if labels is not None:
        reason = (
            f"The {n:,} train answers are {len(labels.labels):,} labels of at most {labels.longest} characters."
            f"{_strictness(labels.folding, references)}"
        )
        return "label", reason
    usual = int(np.quantile([len(reference) for reference in references], 0.9, method="higher"))
    if usual <= SHORT_CHARACTERS:
        folding = folding_for(references)
        distinct = len({folding(reference) for reference in references})
        compared = f"whole answers are compared, {folding.forgives} forgiven." + _strictness(folding, references)
        reason = f"9 of 10 of the {n:,} train answers have at most {usual} characters and {distinct:,} of them differ, "
        return "normalised", reason + "so " + compared + _offer_labels(references)
    return "rouge-l", f"1 of 10 of the {n:,} train answers has {usual:,} characters or more: free text."


def _are_ratings(references: Sequence[str]) -> bool:
    """A small set of small whole numbers, used again and again: grades, stars, numbers of classes. They are labels."""
    values = {reference.strip() for reference in references}
    are_small = all(re.fullmatch(r"[-+]?\d{1,2}", value) for value in values)
    return are_small and len(values) <= MOST_RATINGS and find_labels(references) is not None


def _have_few_units(references: Sequence[str]) -> bool:
    """Quantities share their units; "12 monkeys" beside "3 idiots" are titles."""
    return len({unit_in(reference) for reference in references}) <= max(MOST_UNITS, len(references) // 10)


def _strictness(folding: Folding, references: Sequence[str]) -> str:
    """Which answers would become one if more were forgiven, where that is so."""
    place = FOLDINGS.index(folding)
    if place == 0:
        return ""
    pairs = merged_by(FOLDINGS[place - 1], Counter(reference.strip() for reference in references))
    if not pairs:
        return ""
    one, other = pairs[0]
    told = f" {_short(one)!r} and {_short(other)!r} are both in use, so {folding.compares}."
    return f"{told} If they mean the same, write them alike in the data."


def _offer_labels(references: Sequence[str]) -> str:
    labels = may_be_labels(references)
    if not labels:
        return ""
    uses = len(references) / labels
    return f" If these are {labels:,} labels ({uses:.1f} uses each), say so: --set evaluation.scorer=label."


def _ends_in_number(text: str) -> bool:
    behind = marked_part(text)
    return has_mark(text) and len(behind) <= SHORT_CHARACTERS and is_number(behind)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:40]} …"


def _is_json_container(text: str) -> bool:
    try:
        return isinstance(parse_json(text), dict | list)
    except ValueError:
        return False
