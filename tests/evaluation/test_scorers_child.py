"""Scorers that run something: patterns, SQL, Python code, and a function of the user's own."""

import time
from pathlib import Path

import pytest

from tunesmith.errors import DataError, RecipeError
from tunesmith.evaluation.sandbox import SandboxLimits
from tunesmith.evaluation.sandbox_worker.sql_comparison import have_same_rows
from tunesmith.evaluation.scorers.code import CodeScorer
from tunesmith.evaluation.scorers.code_fence import extract_last_fence
from tunesmith.evaluation.scorers.function import FunctionScorer
from tunesmith.evaluation.scorers.regex import RegexScorer
from tunesmith.evaluation.scorers.scorer_protocol import ScoringFailure, ScoringInput
from tunesmith.evaluation.scorers.sql import SqlScorer, extract_schema

SCHEMA = """CREATE TABLE head (name TEXT, age INTEGER, salary REAL);
INSERT INTO head VALUES ('a', 50, 1.5), ('b', 60, 2.5), ('c', 60, NULL);"""


def test_a_pattern_is_searched_in_the_answer() -> None:
    scorer = RegexScorer()
    assert scorer.score("So: 2024-01-05.", r"\d{4}-\d\d-\d\d") == {"pattern_match": 1.0}
    assert scorer.score("So: 5 Jan", r"\d{4}-\d\d-\d\d") == {"pattern_match": 0.0}
    assert scorer.find_reference_error("(") is not None and "'('" in str(
        scorer.find_reference_error("(")
    )


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("The answer is no. The answer is Yes", "the text: answer is yes", 1.0),
        ("Answer: yes", "answer is yes", 0.0),
        ("answer is yes", "yes", 1.0),
        ("yes", "yes", 1.0),
        ("answer is no", "yes", 0.0),
    ],
)
def test_a_pattern_extracts_what_is_compared(answer: str, reference: str, score: float) -> None:
    assert RegexScorer(r"(?i)answer is (\w+)").score(answer, reference) == {"pattern_match": score}


def test_a_pattern_that_takes_for_ever_is_ended() -> None:
    scorer = RegexScorer(limits=SandboxLimits(task_timeout_seconds=1.0))
    began = time.monotonic()
    bad, good = scorer.score_items(
        [ScoringInput("a" * 40 + "!", "(a+)+$"), ScoringInput("aaa", "(a+)+$")]
    )
    assert bad == {"pattern_match": 0.0}, "failing does not pay better than being wrong"
    assert good == {"pattern_match": 1.0} and time.monotonic() - began < 15


def test_a_reference_on_which_a_pattern_takes_for_ever_judges_nobody() -> None:
    scorer = RegexScorer("(a+)+$", limits=SandboxLimits(task_timeout_seconds=1.0))
    wrong, unjudged = scorer.score_items(
        [ScoringInput("a" * 40 + "!", "aa"), ScoringInput("aa", "a" * 40 + "!")]
    )
    assert wrong == {"pattern_match": 0.0}
    assert isinstance(unjudged, ScoringFailure) and "longer than 1 seconds" in unjudged.reason


def test_a_broken_pattern_is_refused_at_once() -> None:
    with pytest.raises(RecipeError, match="bad-pattern") as caught:
        RegexScorer("(")
    assert "missing )" in caught.value.got


@pytest.mark.parametrize(
    ("query", "reference", "score"),
    [
        (
            "SELECT count(*) FROM head WHERE age > 56",
            "SELECT COUNT(*) AS n FROM head WHERE 56 < age;",
            1.0,
        ),
        ("```sql\nSELECT name FROM head\n```", "SELECT name FROM head", 1.0),
        ("Here:\n```\nSELECT name FROM head;\n```\nIt lists them.", "SELECT name FROM head", 1.0),
        ("SELECT name FROM head ORDER BY name DESC", "SELECT name FROM head", 1.0),
        ("SELECT name FROM head ORDER BY name DESC", "SELECT name FROM head ORDER BY name", 0.0),
        ("SELECT age FROM head", "SELECT DISTINCT age FROM head", 0.0),
        ("SELECT name, age FROM head", "SELECT age, name FROM head", 0.0),
        ("SELECT salary / 3 FROM head", "SELECT salary * (1.0 / 3) FROM head", 1.0),
        ("SELECT nonsense", "SELECT name FROM head", 0.0),
        ("", "SELECT name FROM head", 0.0),
        ("DELETE FROM head", "SELECT name FROM head", 0.0),
        ("SELECT name FROM head; DROP TABLE head", "SELECT name FROM head", 0.0),
        ("PRAGMA table_info(head)", "SELECT name FROM head", 0.0),
        ("ATTACH 'x.db' AS x", "SELECT name FROM head", 0.0),
        ("SELECT load_extension('x')", "SELECT name FROM head", 0.0),
    ],
)
def test_sql_is_compared_by_its_rows(query: str, reference: str, score: float) -> None:
    assert SqlScorer(SCHEMA).score(query, reference) == {"rows_match": score}


def test_a_query_without_end_is_wrong_and_soon_over() -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )
    began = time.monotonic()
    many = (
        "SELECT 1 FROM head a, head b, head c, head d, head e, head f, head g, head h, head i, head"
        " j, head k"
    )
    scored = SqlScorer(SCHEMA).score_items(
        [
            ScoringInput(endless, "SELECT 1"),
            ScoringInput(many, "SELECT 1"),
            ScoringInput("SELECT 1", "SELECT 1"),
        ]
    )
    assert [one == {"rows_match": 0.0} or isinstance(one, ScoringFailure) for one in scored] == [
        True,
        True,
        False,
    ]
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    ("schema", "reference", "why"),
    [
        (SCHEMA, "SELECT wage FROM head", "the reference query does not run: no such column: wage"),
        ("CREATE TABLE", "SELECT 1", "the schema does not run: incomplete input"),
        (
            SCHEMA,
            "SELECT name FROM head WHERE age > 99",
            "the reference query returns no rows here",
        ),
    ],
)
def test_an_example_whose_reference_says_nothing_is_not_judged(
    schema: str, reference: str, why: str
) -> None:
    answers = (reference, "SELECT 7", "no query", "SELECT name FROM head")
    for scored in SqlScorer(schema).score_items(
        [ScoringInput(answer, reference) for answer in answers]
    ):
        assert isinstance(scored, ScoringFailure) and scored.reason.startswith(why), (
            "whoever is right or wrong"
        )


def test_empty_tables_of_the_question_are_filled() -> None:
    question = (
        "Schema: CREATE TABLE head (age INTEGER, name VARCHAR(9))\nHow many heads are older"
        " than 56?"
    )
    reference = "SELECT COUNT(*) FROM head WHERE age > 56"
    scorer = SqlScorer()
    items = [
        ScoringInput(query, reference, question)
        for query in (
            reference,
            "SELECT COUNT(name) FROM head WHERE age > 56",
            "SELECT COUNT(*) FROM head WHERE age >= 56",
            "SELECT COUNT(*) FROM head WHERE age > 57",
            "SELECT COUNT(*) FROM head",
        )
    ]
    assert [one == {"rows_match": 1.0} for one in scorer.score_items(items)] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_statements_of_a_question() -> None:
    question = (
        "Given create table t (a int, b varchar(3)) and CREATE TABLE u (c TEXT DEFAULT ')');\n"
        "INSERT INTO t VALUES (1, 'x;'), (2, 'y');\nWhat is (a)?"
    )
    assert extract_schema(question).split("\n") == [
        "create table t (a int, b varchar(3));",
        "CREATE TABLE u (c TEXT DEFAULT ')');",
        "INSERT INTO t VALUES (1, 'x;'), (2, 'y');",
    ]
    assert extract_schema("no statements") == ""


def test_rows_are_a_bag_unless_ordered() -> None:
    assert have_same_rows([(1,), (2,)], [(2,), (1,)], is_ordered=False)
    assert not have_same_rows([(1,), (2,)], [(2,), (1,)], is_ordered=True)
    assert not have_same_rows([(1,), (1,)], [(1,)], is_ordered=False)
    assert have_same_rows([(0.1 + 0.2,)], [(0.3,)], is_ordered=True)
    assert not have_same_rows([("1",)], [(1,)], is_ordered=True)


def test_a_schema_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "schema.sql"
    file.write_text(SCHEMA)
    assert SqlScorer.from_file(file).score("SELECT 3", "SELECT COUNT(*) FROM head") == {
        "rows_match": 1.0
    }
    with pytest.raises(RecipeError, match="no-schema"):
        SqlScorer.from_file(tmp_path / "none.sql")


TESTS = "# tests\nassert add(1, 2) == 3\nassert add(-1, 1) == 0\n"


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("def add(a, b):\n    return a + b", True),
        ("Sure!\n```python\ndef add(a, b):\n    return a + b\n```\nThis adds.", True),
        ("def add(a, b):\n    return a + b\n# tests\nassert False", True),
        ("def add(a, b):\n    return a - b", False),
        ("def add(a, b): return", False),
        ("not python", False),
        ("raise SystemExit(0)", False),
        ("import os; os._exit(0)", False),
        ('print(\'{"done": {"passed": true, "why": ""}}\')', False),
        ("import sys; sys.setrecursionlimit(10**9)\ndef add(a, b): return add(a, b)", False),
        ("x = [0] * 10**12", False),
        (
            (
                "import socket; socket.create_connection(('127.0.0.1', 9))\ndef add(a, b): return"
                " a + b"
            ),
            False,
        ),
        ("import subprocess; subprocess.run(['true'])\ndef add(a, b): return a + b", False),
        ("import os; os.fork()\ndef add(a, b): return a + b", False),
        (
            (
                "open('mine.txt', 'w').write('x')\nimport os; os.remove('mine.txt')\ndef add(a, b):"
                " return a + b"
            ),
            True,
        ),
        ("import json, math, re, collections\ndef add(a, b): return math.fsum([a, b])", True),
    ],
)
def test_code_passes_its_tests_or_not(answer: str, passes: bool) -> None:
    scorer = CodeScorer(
        SandboxLimits(task_timeout_seconds=2.5, memory_bytes=2**30, file_bytes=2**20)
    )
    assert scorer.score(answer, TESTS) == {"tests_passed": float(passes)}


@pytest.mark.parametrize(
    "does",
    [
        "open('{0}/kept/new', 'w')",
        "open('{0}/kept/file', 'a').write('more')",
        "os.remove('{0}/kept/file')",
        "shutil.rmtree('{0}/kept')",
        "os.rename('{0}/kept/file', 'here')",
        "os.symlink('{0}/kept/file', 'link'); open('link', 'w')",
        "pathlib.Path('{0}/kept/file').write_text('')",
        "pathlib.Path('{0}/kept/file').unlink()",
    ],
)
def test_code_changes_nothing_outside_its_folder(does: str, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("as it was")
    items = [
        ScoringInput(f"import os, pathlib, shutil\n{line}", "# tests\npass")
        for line in (does.format(tmp_path), "1")
    ]
    assert CodeScorer().score_items(items) == [{"tests_passed": 0.0}, {"tests_passed": 1.0}]
    assert [path.read_text() for path in (tmp_path / "kept").iterdir()] == ["as it was"]


def test_code_that_hangs_has_failed_and_harms_no_other() -> None:
    good = ScoringInput("def add(a, b): return a + b", TESTS)
    hanging = ScoringInput("while True: pass", TESTS)
    spoiling = ScoringInput("import builtins; builtins.int = None\ndef add(a, b): return 9", TESTS)
    scored = CodeScorer(SandboxLimits(task_timeout_seconds=1.5)).score_items(
        [good, hanging, spoiling, good]
    )
    assert scored == [{"tests_passed": score} for score in (1.0, 0.0, 0.0, 1.0)]


def test_time_over_for_all_is_not_the_answers_fault() -> None:
    slow = ScoringInput("import time; time.sleep(1)", "# tests\npass")
    scored = CodeScorer(
        SandboxLimits(task_timeout_seconds=5.0, total_timeout_seconds=0.5)
    ).score_items([slow, slow])
    assert (
        scored == [ScoringFailure("the time limit of 0.5 seconds for all answers was reached")] * 2
    )


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        (TESTS, None),
        ("assert add(1, 2) == 3", None),
        ("def add(a, b): pass\n# tests\n", "it has no tests"),
        ("", "it has no tests"),
        ("# tests\nassert (", "its tests are not valid Python: '(' was never closed"),
    ],
)
def test_tests_must_be_python(reference: str, fault: str | None) -> None:
    found = CodeScorer().find_reference_error(reference)
    assert found == fault if fault is None else str(found).startswith(fault)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("a = 1", "a = 1"),
        ("```\na = 1\n```", "a = 1"),
        ("```python\na = 1\n```\nor\n```python\nb = 2\n```", "b = 2"),
        ("```python\na = 1", "a = 1"),
        ("use ```x + 1``` here", "x + 1"),
        ("``````", "``````"),
    ],
)
def test_code_in_a_fence(text: str, inside: str) -> None:
    assert extract_last_fence(text) == inside


def function(folder: Path, body: str, name: str = "mine") -> FunctionScorer:
    file = folder / "scorer.py"
    file.write_text(body)
    return FunctionScorer(file, name, SandboxLimits(task_timeout_seconds=2.0))


def test_a_function_gets_the_question_if_it_takes_it(tmp_path: Path) -> None:
    scorer = function(
        tmp_path, "def mine(answer, reference, question=''):\n    return question == 'q'\n"
    )
    assert scorer.score_items([ScoringInput("a", "r", "q"), ScoringInput("a", "r", "")]) == [
        {"mine": 1.0},
        {"mine": 0.0},
    ]
    assert (scorer.name, scorer.metric) == ("scorer.py:mine", "mine") and len(scorer.sha256) == 64


def test_a_function_may_import_its_neighbours_and_numpy(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("HALF = 0.5")
    body = (
        "import numpy as np\nfrom neighbour import HALF\ndef mine(a, r): return np.float32(HALF)\n"
    )
    assert function(tmp_path, body).score("a", "r") == {"mine": 0.5}


@pytest.mark.parametrize(
    ("gives", "why"),
    [
        ("'1'", "ValueError: it returned '1' for mine, which is not in [0, 1]"),
        ("None", "ValueError: it returned None for mine, which is not a number"),
        ("1.5", "ValueError: it returned 1.5 for mine, which is not in [0, 1]"),
        ("float('nan')", "ValueError: it returned nan for mine, which is not in [0, 1]"),
        (
            "{'other': 1}",
            "ValueError: it returned the scores other, and 'mine' must be one of them",
        ),
        ("{'mine': 1, 'b': 2}", "ValueError: it returned 2 for b, which is not in [0, 1]"),
        ("[1]", "ValueError: it returned [1] for mine, which is not a number"),
        ("{'mine': 1, 'new': 1}", "it returned mine, new now, and mine, beside before"),
    ],
)
def test_what_a_function_gives_wrongly_is_unscored(tmp_path: Path, gives: str, why: str) -> None:
    body = (
        f"def mine(a, r):\n    return {gives} if a == 'bad' else {{'beside': 0.25, 'mine': True}}\n"
    )
    good, bad = function(tmp_path, body).score_items(
        [ScoringInput("good", "r"), ScoringInput("bad", "r")]
    )
    assert (
        good == {"mine": 1.0, "beside": 0.25}
        and isinstance(good, dict)
        and list(good) == ["mine", "beside"]
    )
    assert isinstance(bad, ScoringFailure) and bad.reason.startswith(f"scorer.py:mine: {why}")


@pytest.mark.parametrize("fails", ["1 / 0", "exit()", "float(a)"])
def test_an_answer_on_which_a_function_fails_is_wrong_unless_it_fails_on_the_reference_too(
    tmp_path: Path, fails: str
) -> None:
    body = (
        f"def mine(a, r):\n    return {fails} if a.startswith('bad') else {{'mine': True, 'beside':"
        " 0.25}\n"
    )
    wrong, unjudged = function(tmp_path, body).score_items(
        [ScoringInput("bad", "r"), ScoringInput("bad", "bad too")]
    )
    assert wrong == {"mine": 0.0, "beside": 0.0}
    assert isinstance(unjudged, ScoringFailure)


def test_a_function_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        function(tmp_path, "import os\n\nimport nonsense_module\n")
    assert str(caught.value) == (
        "error[recipe/broken-scorer]: cannot use the scorer file\n  at: "
        f"{tmp_path / 'scorer.py'}\n  got: line 3: ModuleNotFoundError: No module named "
        "'nonsense_module'\n  hint: fix the file; it is run on its own and can import from "
        "its own folder"
    )
    assert caught.value.exit_code == 2
    with pytest.raises(RecipeError, match="no-scorer-file"):
        FunctionScorer(tmp_path / "none.py", "mine")


def test_a_single_answer_that_cannot_be_judged_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unscored"):
        function(tmp_path, "def mine(a, r): return 7\n").score("a", "r")
