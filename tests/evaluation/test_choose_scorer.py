"""The scorer is chosen by looking at the answers, and says why."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tunesmith.errors import DataError, RecipeError
from tunesmith.evaluation.scorers import SCORERS, choose_scorer

LABELS = ["spam", "ham", "Spam", "ham", "spam", "ham"]
JSON = ['{"a": 1}', '["x"]']
SHORT = ["Paris", "Rome", "Oslo", "Bern"]
GSM8K = ["2 + 3 = <<2+3=5>>5 apples\n#### 5", "He has 1,200.\n#### 1,200"]
LONG = [f"a rather long answer {i} " * 9 for i in range(9)] + ["short"]


@pytest.mark.parametrize(
    ("answers", "name", "said"),
    [
        (JSON, "json", "All 2 training answers are JSON"),
        (LABELS, "label", "6 training answers are 2 labels of at most 4 characters"),
        (
            SHORT,
            "normalised",
            "90 % of the 4 training answers have at most 5 characters and 4 are distinct",
        ),
        (LONG, "rouge-l", "207 characters or more"),
        (
            ["1", "2", "3"],
            "number",
            "All 3 training answers are numbers",
        ),  # JSON too, but nothing with fields
        (
            [*JSON, "oops"],
            "normalised",
            (
                "1 of 3 training answers is not a JSON object or list (the first is "
                '"oops"): to compare fields'
            ),
        ),
        (
            [*JSON * 495, *["n/a"] * 10],
            "json",
            (
                "10 of 1,000 training answers are not a JSON object or list (the first is "
                '"n/a"), all others'
            ),
        ),
        (
            GSM8K,
            "number",
            "All 2 training answers end in #### and a number, so these numbers are compared.",
        ),
        (
            [*GSM8K * 60, "no idea"],
            "number",
            "120 of 121 training answers end in #### and a number",
        ),
        (
            [f"So \\boxed{{{i}}}." for i in range(9)],
            "number",
            "All 9 training answers end in #### or \\boxed{} and a number",
        ),
        ([*GSM8K, "#### none"], "normalised", "distinct"),
        ([*JSON * 494, *["n/a"] * 12], "label", "12 of 1,000 training answers are not a JSON"),
    ],
)
def test_by_looking(answers: list[str], name: str, said: str) -> None:
    scorer, reason = choose_scorer(answers)
    assert scorer.name == name
    assert said in reason and reason.endswith(".")


@pytest.mark.parametrize("name", SCORERS.builtins)
def test_by_name(name: str) -> None:
    scorer, reason = choose_scorer(JSON, name)
    assert scorer.name == name and name in reason


KNOWN = (
    "known scorers: auto, exact, normalised, label, number, json, tool_calls, rouge-l, chrf, bleu, "
    "ter, match, squad, regex, sql, code, similarity, number:..., match:..., squad:..., regex:..., "
    "sql:..., file.py:function"
)


@pytest.mark.parametrize(
    ("name", "what", "do"),
    [
        ("normalized", "unknown scorer 'normalized'", "write 'normalised'"),
        ("numeric:0.1", "unknown scorer 'numeric:0.1'", "write 'number'"),
        ("exact:3", "unknown scorer 'exact:3'", "write 'exact'"),
        ("zzz", "unknown scorer 'zzz'", "use one of these"),
        (
            "similarity",
            "scorer similarity needs an embedding model",
            "choose another scorer; or use it on a machine with an embedding model",
        ),
    ],
)
def test_an_unknown_name_is_told_the_nearest_and_all(name: str, what: str, do: str) -> None:
    with pytest.raises(RecipeError) as caught:
        choose_scorer(SHORT, name)
    assert str(caught.value) == (
        f"error[recipe/unknown-scorer]: {what}\n  at: evaluation.scorer\n  "
        f"got: {KNOWN}\n  hint: {do}"
    )


def test_options_behind_a_colon(tmp_path: Path) -> None:
    loose, reason = choose_scorer(GSM8K, "number:0.1")
    assert loose.score("111", "100") == {"number_match": 0.0} and loose.score("9.2", "10") == {
        "number_match": 1.0
    }
    assert reason == "Set as number:0.1 in the configuration."
    pattern, _ = choose_scorer(SHORT, "regex:x: (\\d)")
    assert pattern.score("x: 3, z", "x: 3") == {"pattern_match": 1.0}
    schema = tmp_path / "a:b.sql"
    schema.write_text("CREATE TABLE t (a INT); INSERT INTO t VALUES (7);")
    assert choose_scorer(SHORT, f"sql:{schema}")[0].score("SELECT 7", "SELECT a FROM t") == {
        "rows_match": 1.0
    }


@pytest.mark.parametrize("tolerance", ["", "x", "-1", "1", "nan"])
def test_a_tolerance_is_a_share(tolerance: str) -> None:
    with pytest.raises(RecipeError, match="bad-tolerance"):
        choose_scorer(GSM8K, f"number:{tolerance}")


def test_a_function_of_ones_own_is_known_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def fit(answer, reference):\n    return 1\n")
    scorer, reason = choose_scorer(SHORT, f"{file}:fit")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert scorer.score("a", "b") == {"fit": 1.0}
    assert reason == f"Your function fit, as configured ({file}, SHA-256 {digest})."
    with pytest.raises(RecipeError, match="broken-scorer") as caught:
        choose_scorer(SHORT, f"{file}:fits")
    assert caught.value.got == "it has no function 'fits'; its functions: fit"


def test_similarity_names_its_model() -> None:
    class Lengths:
        name = "lengths"

        def embed(self, texts: list[str]) -> np.ndarray:
            return np.array(
                [[1.0, 0.0] if len(text) == 4 else [0.6, 0.8] for text in texts], dtype=np.float32
            )

    scorer, reason = choose_scorer(SHORT, "similarity", lambda: Lengths())
    assert reason == "Set as similarity in the configuration. Embedding model: lengths."
    assert scorer.score("Rome", "Paris") == {"similarity": 0.6} and scorer.score(
        "Rome", "Oslo"
    ) == {"similarity": 1.0}


def test_nothing_to_look_at() -> None:
    with pytest.raises(DataError, match="no-answers"):
        choose_scorer([])
