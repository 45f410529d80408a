"""Which scorer fits: found by looking at the train answers, or named.

A new scorer is one file, one line in `SCORERS`, one test.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches

import numpy as np

from tunesmith.errors import DataError, RecipeError
from tunesmith.evaluation.scorers.chrf import ChrfScorer
from tunesmith.evaluation.scorers.exact import ExactScorer
from tunesmith.evaluation.scorers.json_fields import JsonScorer, parse_json
from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.evaluation.scorers.normalised import NormalisedScorer
from tunesmith.evaluation.scorers.rouge_l import RougeLScorer
from tunesmith.evaluation.scorers.scorer import STRAY_SHARE, Scorer, normalised

SCORERS: dict[str, Callable[[Sequence[str]], Scorer]] = {
    "exact": lambda references: ExactScorer(),
    "normalised": lambda references: NormalisedScorer(),
    "label": lambda references: LabelScorer(references),
    "json": lambda references: JsonScorer(),
    "rouge-l": lambda references: RougeLScorer(),
    "chrf": lambda references: ChrfScorer(),
}
"""Each is made from the train answers; most need nothing of them."""

SHORT_CHARACTERS = 60
MOST_LABELS = 200
USES_OF_A_LABEL = 3


def choose_scorer(references: Sequence[str], name: str = "auto") -> tuple[Scorer, str]:
    """The scorer for these train answers and why, as a sentence with numbers.

    Errors: `RecipeError` for an unknown name, `DataError` when there is no answer to look at.
    """
    if not references:
        raise DataError(
            "no-answers", "No scorer can be chosen without answers.", do="add train examples that have an answer"
        )
    if name != "auto":
        return _named(name)(references), f"The scorer {name} was named."
    chosen, reason = _look(references)
    return SCORERS[chosen](references), reason


def _named(name: str) -> Callable[[Sequence[str]], Scorer]:
    if name in SCORERS:
        return SCORERS[name]
    known = ["auto", *SCORERS]
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    raise RecipeError(
        "unknown-scorer",
        f"There is no scorer {name!r}.",
        where="evaluation.scorer",
        found=f"known are {', '.join(known)}",
        do=f"write {near[0]!r}" if near else "take one of these",
    )


def _look(references: Sequence[str]) -> tuple[str, str]:
    n = len(references)
    strays = [reference for reference in references if not _is_json_container(reference)]
    if not strays:
        return "json", f"All {n:,} train answers are JSON, so fields are compared."
    verb = "is" if len(strays) == 1 else "are"
    told = f'{len(strays):,} of {n:,} train answers {verb} no JSON object or list (the first is "{_short(strays[0])}")'
    if len(strays) <= STRAY_SHARE * n:
        return "json", f"{told}, all others are: fields are compared, and those as a whole."
    name, reason = _look_at_text(references)
    if 2 * len(strays) < n:
        reason += f" {told}: to compare fields, mend them and set evaluation.scorer to json."
    return name, reason


def _look_at_text(references: Sequence[str]) -> tuple[str, str]:
    n = len(references)
    longest = max(len(reference) for reference in references)
    distinct = len({normalised(reference) for reference in references})
    if longest <= SHORT_CHARACTERS and distinct <= MOST_LABELS and distinct * USES_OF_A_LABEL <= n:
        return "label", f"The {n:,} train answers are {distinct:,} labels of at most {longest} characters."
    usual = int(np.quantile([len(reference) for reference in references], 0.9, method="higher"))
    if usual <= SHORT_CHARACTERS:
        return "normalised", (
            f"9 of 10 of the {n:,} train answers have at most {usual} characters and {distinct:,} of them differ, "
            "so whole answers are compared, case and marks at the edges forgiven."
        )
    return "rouge-l", f"1 of 10 of the {n:,} train answers has {usual:,} characters or more: free text."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:40]} …"


def _is_json_container(text: str) -> bool:
    try:
        return isinstance(parse_json(text), dict | list)
    except ValueError:
        return False
