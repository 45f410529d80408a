"""One command line in this process, in an empty folder, with an empty home, no store but its own
and no network."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tunesmith.cli.main import run

MESSAGE = re.compile(
    r"error\[[a-z]+/[a-z0-9-]+\]: \S.*?[^.\s](?:\n  (?:at|got|hint):(?: \S.*|(?:\n    .*)+))+"
)


class Printed(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """The one error message; whatever else stands on standard error are stages (`==`) and notes
        (indented)."""
        begin = self.err.index("error[")
        told, message = self.err[:begin], self.err[begin:].rstrip("\n")
        assert all(line.startswith(("== ", "   ")) for line in told.splitlines()), self.err
        assert message.count("error[") == 1 and MESSAGE.fullmatch(message), message
        assert "Traceback" not in self.err + self.out
        return message


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command runs; everything that it may write is below."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("TUNESMITH_STORE", raising=False)
    return tmp_path


@pytest.fixture
def tunesmith(capfd: pytest.CaptureFixture[str]) -> Callable[..., Printed]:
    def door(*words: object) -> Printed:
        capfd.readouterr()
        code = run([str(word) for word in words])
        return Printed(code, *capfd.readouterr())

    return door
