"""The child process: limits hold, a piece that goes wrong goes wrong alone, nothing of ours leaks
in."""

import os
import time
from pathlib import Path

import pytest

from tunesmith.evaluation.sandbox import (
    SandboxLimits,
    TaskFailure,
    WorkerSetupError,
    run_in_sandbox,
)

QUICK = SandboxLimits(task_timeout_seconds=1.5, total_timeout_seconds=60.0, memory_bytes=2**30)


def run(folder: Path, body: str, answers: list[str], limits: SandboxLimits = QUICK) -> list[object]:
    """What a user's function with this body gives for each answer."""
    file = folder / "mine.py"
    file.write_text(body)
    pieces = [{"answer": answer, "reference": "", "question": ""} for answer in answers]
    return run_in_sandbox("function_call", {"file": str(file), "function": "f"}, pieces, limits)


def test_pieces_come_back_in_order_whatever_is_printed(tmp_path: Path) -> None:
    body = (
        'import sys\nprint("loading")\ndef f(a, r):\n    print("{}"); sys.stderr.write("x"); return'
        " float(a)\n"
    )
    assert run(tmp_path, body, ["0.5", "1", "0"]) == [{"f": 0.5}, {"f": 1.0}, {"f": 0.0}]


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("while True: pass", "it took longer than 1.5 seconds"),
        ("import time; time.sleep(60)", "it took longer than 1.5 seconds"),
        ("import os; os._exit(3)", "its process ended: exit code 3"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "its process ended: signal SIGSEGV",
        ),
        ("x = ' ' * 2**40", "MemoryError"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("f(a, r)", "RecursionError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return input()", "EOFError"),
    ],
)
def test_a_piece_that_goes_wrong_goes_wrong_alone(tmp_path: Path, does: str, why: str) -> None:
    body = f"def f(a, r):\n    if a == 'bad':\n        {does}\n    return 1.0\n"
    good, bad, after = run(tmp_path, body, ["good", "bad", "good"])
    assert good == after == {"f": 1.0}
    assert isinstance(bad, TaskFailure) and bad.reason.startswith(why), bad


def test_time_for_all_ends_all(tmp_path: Path) -> None:
    began = time.monotonic()
    limits = SandboxLimits(task_timeout_seconds=1.0, total_timeout_seconds=2.0)
    results = run(
        tmp_path, "import time\ndef f(a, r): time.sleep(0.7); return 1\n", ["x"] * 30, limits
    )
    assert time.monotonic() - began < 10
    assert results[0] == {"f": 1.0}
    assert (
        results[-1]
        == TaskFailure(
            "the time limit of 2 seconds for all answers was reached", is_not_started=True
        )
        and len(results) == 30
    )


def test_the_environment_holds_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    body = (
        "import os\ndef f(a, r): raise ValueError(' '.join(sorted(os.environ)) + ' ' +"
        " os.getcwd())\n"
    )
    [told] = run(tmp_path, body, ["x"])
    assert isinstance(told, TaskFailure) and "OPENAI" not in told.reason
    names, _, folder = told.reason.rpartition(" ")
    assert set(names.split()) <= {
        *("ValueError:", "PATH", "LANG", "HOME", "TMPDIR", "LC_CTYPE"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    }
    assert not os.path.exists(folder)


def test_no_child_is_left(tmp_path: Path) -> None:
    import psutil

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    run(
        tmp_path,
        "def f(a, r):\n    while True: pass\n",
        ["x"],
        SandboxLimits(task_timeout_seconds=0.5),
    )
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("def f(a, r:\n  pass", "line 1: SyntaxError: "),
        ("import no_such_module", "line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def g(): 1 / 0\n\ng()", "line 1: ZeroDivisionError: division by zero"),
        ("def g(): pass\nf = 3", "it has no function 'f'; its functions: g"),
        (
            "def f(a): pass",
            "it takes (a), and is called with (answer, reference) or (answer, reference, question)",
        ),
        ("import os; os._exit(5)", "its process ended: exit code 5"),
        ("raise SystemExit", "line 1: SystemExit: "),
    ],
)
def test_work_that_cannot_be_opened(tmp_path: Path, body: str, why: str) -> None:
    with pytest.raises(WorkerSetupError) as caught:
        run(tmp_path, body, [])
    assert str(caught.value).startswith(why)
