"""What must answer at once loads nothing heavy, and importing tunesmith changes nothing in the
process."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

HEAVY = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "sqlalchemy",
    "alembic",
    "polars",
    "plotly",
    "bm25s",
    "tokenizers",
)

COMMAND = """
import contextlib, io, json, sys
from tunesmith.cli.main import run
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    code = run(sys.argv[1:])
print(json.dumps([code, out.getvalue() + err.getvalue(), sorted(sys.modules)]))
"""  # noqa: E501

IMPORT = """
import json, os, sys
events = []
sys.addaudithook(lambda event, details: events.append(event) if event.startswith(("socket.", "subprocess.")) else None)
before = dict(os.environ)
import tunesmith
print(json.dumps([before == dict(os.environ), events, sorted(sys.modules)]))
"""  # noqa: E501


def in_a_fresh_process(program: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "Usage: tunesmith"),
        ([], 0, "Usage: tunesmith"),
        (["check", "--help"], 0, "Usage: tunesmith check"),
        (["-h"], 0, "Usage: tunesmith"),
        (["--version"], 0, "tunesmith"),
        (["decide", "--help"], 0, "Usage: tunesmith decide"),
        (["check", "data.jsonl", "--no-such-flag"], 2, "error[usage/arguments]"),
        (["dekide"], 2, "error[usage/arguments]"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else None,
)
def test_help_and_usage_errors_load_nothing_heavy(
    arguments: list[str], code: int, said: str
) -> None:
    found, text, modules = in_a_fresh_process(COMMAND, *arguments)
    assert found == code and said in text, text
    assert not [name for name in HEAVY if name in modules]


def test_importing_tunesmith_loads_no_torch_opens_no_socket_and_sets_no_variable() -> None:
    same_environment, events, modules = in_a_fresh_process(IMPORT)
    assert same_environment and events == []
    assert "tunesmith" in modules and not [name for name in HEAVY if name in modules]
