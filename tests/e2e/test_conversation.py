"""A conversation on a terminal: answers come piece by piece, and each knows the turns before it."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from tunesmith.workflow.chat import load_chat


def test_a_streamed_answer_is_the_answer(tiny_model: Path) -> None:
    talk = load_chat(str(tiny_model), None, 12)
    whole = talk.answer("a red boat").text
    assert "".join(talk.send("a red boat")).strip() == whole
    assert [message.role for message in talk.turns] == ["user", "assistant"]
    assert talk.turns[1].content == whole


def test_a_terminal_is_answered_until_an_empty_line(tiny_model: Path, home: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tunesmith.cli.main",
            "chat",
            str(tiny_model),
            "--max-new-tokens",
            "4",
        ],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, b"a red boat\n\n")
    out, err = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, err
    assert "Enter an empty line to quit." in err and "Traceback" not in err
    assert out.count("> ") == 2


def test_an_empty_line_in_a_pipe_ends_nothing(tiny_model: Path, home: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tunesmith.cli.main",
        "chat",
        str(tiny_model),
        "--max-new-tokens",
        "4",
        "--json",
    ]
    done = subprocess.run(
        command, input="one\n\ntwo\n", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count('"prompt"') == 2
