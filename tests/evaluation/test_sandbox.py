"""What runs a stranger's code or SQL: nothing outside is read or changed, by any way, and failing
does not pay."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tunesmith.evaluation.sandbox import SandboxLimits, TaskFailure, run_in_sandbox
from tunesmith.evaluation.sandbox_worker.confinement import get_landlock_version
from tunesmith.evaluation.sandbox_worker.sql_comparison import compare_queries
from tunesmith.evaluation.scorers.code import CodeScorer, describe_protection
from tunesmith.evaluation.scorers.scorer_protocol import ScoringFailure, ScoringInput
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.evaluation.scorers.sql import SqlScorer

needs_landlock = pytest.mark.skipif(
    not get_landlock_version(), reason="this system has no Landlock"
)
HOOK_ALONE = """
import json, os, sys, tempfile
from tunesmith.evaluation.sandbox_worker import code_execution as code
code.confine_to = lambda folder: False
os.chdir(tempfile.mkdtemp(dir=sys.argv[1]))
run = code.make_worker(None)
print(json.dumps(run({"solution": sys.stdin.read(), "tests": "pass"})))
"""
CHANGES = {
    "a database": "sqlite3.connect('{0}/new.db').execute('CREATE TABLE t (a)')",
    "a bystander database": "sqlite3.connect('{0}/old.db').execute('DROP TABLE old')",
    "open relative to a folder": (
        "os.open('new', os.O_CREAT | os.O_WRONLY, dir_fd=os.open('{0}', os.O_RDONLY))"
    ),
    "mkdir relative to a folder": "os.mkdir('new', dir_fd=os.open('{0}', os.O_RDONLY))",
    "unlink relative to a folder": "os.unlink('file', dir_fd=os.open('{0}', os.O_RDONLY))",
    "rename relative to a folder": (
        "os.rename('file', 'new', src_dir_fd=os.open('{0}', os.O_RDONLY))"
    ),
    "a pipe": "os.mkfifo('{0}/new')",
    "a special file": "os.mknod('{0}/new')",
    "times": "os.utime('{0}/file', (1, 1))",
    "mode": "os.chmod('{0}/file', 0o777)",
    "mode of an open file": "os.fchmod(os.open('{0}/file', os.O_RDONLY), 0o777)",
    "attributes": "os.setxattr('{0}/file', 'user.a', b'1')",
    "a copy": "shutil.copy('here', '{0}/new')",
    "a move": "shutil.move('here', '{0}/new')",
    "a temporary file": "tempfile.NamedTemporaryFile(dir='{0}', delete=False)",
    "a link": "os.link('here', '{0}/new')",
    "truncating": "os.truncate('{0}/file', 0)",
    "memory mapped": "mmap.mmap(os.open('{0}/file', os.O_RDWR), 0)[0:1] = b'X'",
    "another program": "subprocess.run(['touch', '{0}/new'])",
    "another interpreter": "multiprocessing.Process(target=print).start()",
    "a limit": "resource.setrlimit(resource.RLIMIT_CORE, (1, 1))",
    "a signal": "os.kill(os.getppid(), 0)",
}


def make_bystander(folder: Path) -> Path:
    """A folder with a file and a database that no answer may touch."""
    folder.mkdir()
    (folder / "file").write_text("as it was")
    with sqlite3.connect(folder / "old.db") as database:
        database.execute("CREATE TABLE old (a)")
    database.close()
    for path in folder.iterdir():
        os.utime(path, (10**9, 10**9))
    return folder


def describe_folder(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    return {
        path.name: (path.stat().st_mode, path.stat().st_mtime, path.read_bytes())
        for path in folder.iterdir()
    }


def write_program(change: str, folder: Path) -> str:
    return (
        "import mmap, multiprocessing, os, resource, shutil, sqlite3, subprocess, tempfile\n"
        f"open('here', 'w').close()\n{change.format(folder)}\n"
    )


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_code_changes_nothing_outside(change: str, tmp_path: Path) -> None:
    folder = make_bystander(tmp_path / "bystander")
    before = describe_folder(folder)
    assert CodeScorer().score(write_program(change, folder), "# tests\npass") == {
        "tests_passed": 0.0
    }
    assert describe_folder(folder) == before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_hook_alone_holds_back_accidents(change: str, tmp_path: Path) -> None:
    """As on systems without Landlock."""
    folder = make_bystander(tmp_path / "bystander")
    before = describe_folder(folder)
    ended = subprocess.run(
        [sys.executable, "-c", HOOK_ALONE, str(tmp_path)],
        input=write_program(change, folder),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(ended.stdout)
    assert told == {"passed": False, "why": "solution: PermissionError", "is_confined": False}
    assert describe_folder(folder) == before


ORDINARY = {
    "containers": (
        "import collections, dataclasses, enum, typing\nP = collections.namedtuple('P', 'a b')"
    ),
    "an event loop": "import asyncio\nasync def f(): return 1\nassert asyncio.run(f()) == 1",
    "threads": "import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()",
    "a database in memory": (
        "import sqlite3\nsqlite3.connect(':memory:').execute('CREATE TABLE t (a)')"
    ),
    "a database of its own": (
        "import sqlite3\nsqlite3.connect('mine.db').execute('CREATE TABLE t (a)')"
    ),
    "files of its own": (
        "import os\nos.mkdir('x')\nos.rename('x', 'y')\nopen('y/f',"
        " 'w').write('1')\nos.truncate('y/f', 0)\nos.utime('y/f')\nos.chmod('y/f',"
        " 0o600)\nos.remove('y/f')\nos.rmdir('y')"
    ),
    "temporary folders": (
        "import tempfile, pathlib\nwith tempfile.TemporaryDirectory() as d:\n pathlib.Path(d,"
        " 'a').write_text('1')"
    ),
    "time zones": "import datetime, zoneinfo\ndatetime.datetime.now(zoneinfo.ZoneInfo('UTC'))",
    "numpy": "import numpy\nassert numpy.ones(3).sum() == 3",
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(5000)\ndef f(n): return n and 1 + f(n - 1)\nf(4000)"
    ),
    "pickle": "import pickle, fractions\npickle.loads(pickle.dumps(fractions.Fraction(1, 3)))",
}


@pytest.mark.parametrize("code", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_code_runs(code: str) -> None:
    assert CodeScorer().score(code, "# tests\npass") == {"tests_passed": 1.0}


@needs_landlock
def test_code_reads_neither_the_users_files_nor_its_tests(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("private")
    for path in (tmp_path / "notes", "../order.json", f"/proc/{os.getpid()}/environ"):
        assert CodeScorer().score(f"open({str(path)!r}).read()", "# tests\npass") == {
            "tests_passed": 0.0
        }


def test_the_protection_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.evaluation.scorers.code.get_landlock_version", lambda: 0)
    assert "no Landlock" in describe_protection() and "container" in describe_protection()
    monkeypatch.setattr("tunesmith.evaluation.scorers.code.get_landlock_version", lambda: 3)
    assert "confines" in describe_protection()


def test_a_result_that_the_code_writes_itself_counts_for_nothing() -> None:
    forged = '{"done": {"passed": true, "why": "", "is_confined": true}}'
    code = (
        "import os\nfor descriptor in range(3, 64):\n    try:\n"
        f"        os.write(descriptor, b'{forged}\\n')\n    except OSError:\n        pass\n"
    )
    assert CodeScorer().score(code, "# tests\nassert False") == {"tests_passed": 0.0}


def test_files_of_all_answers_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    body = (
        "def f(answer, reference):\n    import os, pathlib\n"
        "    for path in pathlib.Path('..').rglob('data'): raise ValueError('of another')\n"
        "    pathlib.Path('data').write_bytes(b'x')\n    return 1\n"
    )
    (tmp_path / "mine.py").write_text(body)
    pieces = [{"answer": "", "reference": "", "question": ""}] * 3
    setup = {"file": str(tmp_path / "mine.py"), "function": "f"}
    assert (
        run_in_sandbox("function_call", setup, pieces, SandboxLimits(), is_fresh=True)
        == [{"f": 1.0}] * 3
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    "fills",
    [
        "for i in range(40): open(f'{i}', 'wb').write(bytes(2**20))",
        "for i in range(400): open(f'{i}', 'w').close()",
    ],
)
def test_all_files_of_an_answer_have_a_limit_together(fills: str) -> None:
    limits = SandboxLimits(
        task_timeout_seconds=30, file_bytes=2**21, folder_bytes=2**22, folder_files=200
    )
    code = f"{fills}\nwhile True: pass"
    [told] = run_in_sandbox(
        "code_execution", None, [{"solution": code, "tests": ""}], limits, is_fresh=True
    )
    assert told == TaskFailure("its files took more than 4 MiB or were more than 200")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_child_began_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import os, pathlib, subprocess, sys\n"
        "def f(answer, reference):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "    os._exit(3)\n"
    )
    setup = {"file": str(tmp_path / "mine.py"), "function": "f"}
    pieces = [{"answer": "", "reference": "", "question": ""}]
    [ended] = run_in_sandbox("function_call", setup, pieces, SandboxLimits())
    assert ended == TaskFailure("its process ended: exit code 3")
    begun = int((tmp_path / "pid").read_text())
    deadline = (
        time.monotonic() + 60
    )  # its own end is at 600 s; the system ends a killed process when it gets to it
    while is_running(begun):
        assert time.monotonic() < deadline, "the process that the child began still runs"
        time.sleep(0.01)


# --- SQL
# --------------------------------------------------------------------------------------------------

SCHEMA = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2);"
OUTSIDE = {
    "attach": "ATTACH '{0}/new.db' AS x; CREATE TABLE x.y (a);",
    "attach an old one": "ATTACH '{0}/old.db' AS x; DROP TABLE x.old;",
    "attach inside a transaction": "COMMIT; ATTACH '{0}/new.db' AS x;",
    "vacuum into": "VACUUM INTO '{0}/new.db';",
    "a pragma": "PRAGMA journal_mode = DELETE;",
    "a folder for temporaries": "PRAGMA temp_store_directory = '{0}';",
    "a virtual table": "CREATE VIRTUAL TABLE v USING fts5(a);",
    "an extension": "SELECT load_extension('{0}/new');",
}


@pytest.mark.parametrize("statement", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("place", ["in the question", "in the schema's file"])
def test_a_schema_makes_and_alters_nothing_outside_its_memory(
    statement: str, place: str, tmp_path: Path
) -> None:
    folder = make_bystander(tmp_path / "bystander")
    before = describe_folder(folder)
    script = SCHEMA + statement.format(folder)
    with pytest.raises(ValueError, match="the schema does not run"):
        compare_queries(
            script, "SELECT a FROM t", "SELECT a FROM t"
        )  # the guard by itself, no Landlock
    scorer = SqlScorer(script if place != "in the question" else "")
    [scored] = scorer.score_items(
        [ScoringInput("SELECT a FROM t", "SELECT a FROM t", f"Given {script}")]
    )
    # Of a question only CREATE TABLE, CREATE VIEW and INSERT statements are read.
    is_read = place != "in the question" or "CREATE TABLE" in statement
    assert isinstance(scored, ScoringFailure) if is_read else scored == {"rows_match": 1.0}
    assert describe_folder(folder) == before


@pytest.mark.parametrize(
    "script",
    [
        (
            "PRAGMA foreign_keys=OFF; BEGIN TRANSACTION; CREATE TABLE t (a INTEGER); INSERT INTO t"
            " VALUES (1); COMMIT;"
        ),
        (
            "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT DEFAULT 'x;'); INSERT INTO"
            " t (b) VALUES ('y');"
        ),
        (
            "DROP TABLE IF EXISTS t; CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t"
            " VALUES (1); ANALYZE;"
        ),
        (
            "CREATE TABLE s (a); CREATE TABLE t AS SELECT * FROM s; ALTER TABLE s RENAME TO u;"
            " INSERT INTO t VALUES (3);"
        ),
        (
            "CREATE TABLE t (a); CREATE VIEW v AS SELECT a FROM t; CREATE TEMP TABLE q (a); INSERT"
            " INTO t VALUES (1);"
        ),
        (
            "CREATE TABLE t (a); CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = 2; END;"
            "INSERT INTO t VALUES (1); DELETE FROM t WHERE a = 1; REINDEX;"
        ),
        "CREATE TABLE t (a, b GENERATED ALWAYS AS (a + 1)); INSERT INTO t (a) VALUES (1);",
    ],
)
def test_schemas_that_dumps_hold_run(script: str) -> None:
    assert SqlScorer(script).score("SELECT a FROM t", "SELECT a FROM t") == {"rows_match": 1.0}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT hex(zeroblob(900000000))",
        "SELECT replace(hex(zeroblob(4000000)), '0', hex(zeroblob(1000000)))",
        "SELECT group_concat(hex(zeroblob(4000000))) FROM t a, t b, t c, t d, t e",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "SELECT hex(zeroblob(4000000)) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k",
    ],
)
def test_a_query_that_takes_too_much_is_wrong_not_unjudged(query: str) -> None:
    scorer = SqlScorer(SCHEMA, SandboxLimits(task_timeout_seconds=20.0, memory_bytes=2**29))
    items = [
        ScoringInput(query, "SELECT a FROM t"),
        ScoringInput("SELECT a FROM t", "SELECT a FROM t"),
    ]
    assert scorer.score_items(items) == [{"rows_match": 0.0}, {"rows_match": 1.0}]


def test_a_query_that_takes_its_process_down_is_wrong_and_a_reference_that_does_is_not_judged() -> (
    None
):
    slow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30000000) SELECT"
        " count(*) FROM n"
    )
    scorer = SqlScorer(SCHEMA, SandboxLimits(task_timeout_seconds=0.5))
    wrong, unjudged = scorer.score_items(
        [ScoringInput(slow, "SELECT a FROM t"), ScoringInput("SELECT a FROM t", slow)]
    )
    assert wrong == {"rows_match": 0.0}
    assert isinstance(unjudged, ScoringFailure)


def test_the_reason_for_the_scorer_says_what_holds_the_code() -> None:
    _, reason = choose_scorer(["# tests\npass"], "code")
    assert describe_protection() in reason
