"""What OpenAI Evals and lm-eval say to hard answers, written to `harnesses.json` beside this file.

    python tests/parity/recorded/record_harnesses.py
        (in an environment of its own that has evals and lm-eval)

It is run by hand when another version is to be followed; the tests read the file alone. lm-eval's
part is its task gsm8k: the filter strict-match, then exact_match as `gsm8k.yaml` sets it.
"""

import json
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from evals.elsuite.utils import fuzzy_match, get_answer
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.filters.extraction import RegexFilter

ANSWERS = [
    "",
    "Paris",
    "paris.",
    "It is Paris, France.",
    "The Paris",
    "par",
    "Lyon",
    "a",
    "the",
    "five",
    "It is five of six.",
    "FIVE",
    "an apple a day",
    "apple, day",
    "!?",
    "Paris\nLyon",
]
TARGETS = ["Paris", "paris", "five", "apple day", "the", "Lyon."]
GSM8K = [
    "#### 18",
    "#### 1,234",
    "#### $18",
    "#### 18.",
    "#### -5",
    "#### 18\n#### 19",
    "18",
    "#### 18 apples",
    "####18",
    "#### 1234",
    "#### 19",
    "#### 18.0",
    "#### 1.234",
]
GSM8K_TARGETS = ["9 * 2 = 18\n#### 18", "so many\n#### 1,234", "it fell\n#### -5"]
IGNORED = [",", "\\$", "(?s).*#### ", "\\.$"]


def score_gsm8k(text: str, target: str) -> tuple[str, float]:
    """(the filtered answer, its score)."""
    [[found]] = RegexFilter(r"#### (\-?[0-9\.\,]+)").apply([[text]], [{}])
    score = exact_match_hf_evaluate([found], [target], regexes_to_ignore=IGNORED, ignore_case=True)[
        "exact_match"
    ]
    return found, float(score)


def record() -> dict[str, Any]:
    pairs = list(product(ANSWERS, TARGETS))
    return {
        "evals": version("evals"),
        "lm_eval": version("lm_eval"),
        "pairs": pairs,
        "FuzzyMatch": [float(fuzzy_match(*pair)) for pair in pairs],
        "Includes": [float(get_answer(*pair) is not None) for pair in pairs],
        "Includes, ignore_case": [float(get_answer(*pair, True) is not None) for pair in pairs],
        "Match": [float(answer.startswith(target)) for answer, target in pairs],
        "gsm8k": [
            (text, target, *score_gsm8k(text, target))
            for text, target in product(GSM8K, GSM8K_TARGETS)
        ],
    }


if __name__ == "__main__":
    Path(__file__).with_name("harnesses.json").write_text(json.dumps(record(), indent=0) + "\n")
