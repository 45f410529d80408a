"""Every row of `cases.toml`: one command line on a small input, and what must come of it."""

import json
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cli.main import run
from tunesmith.testing.tiny_model import write_tiny_model

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = tomllib.loads((HERE / "cases.toml").read_text("utf-8")).get(
    "case", []
)
KEYS = {
    "name",
    "about",
    "source",
    "files",
    "command",
    "then",
    "exit",
    "contains",
    "lacks",
    "equals",
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights and a ChatML tokenizer of 400 tokens."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.mark.parametrize("case", CASES, ids=[case.get("name", "unnamed") for case in CASES])
def test_case(
    case: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    work = tmp_path / "work"
    if "files" in case:
        shutil.copytree(HERE / case["files"], work)
    else:
        work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("TUNESMITH_STORE", raising=False)
    commands = [case["command"], *case.get("then", [])]
    for number, command in enumerate(commands, 1):
        if "{model}" in command:
            command = command.replace("{model}", str(request.getfixturevalue("model")))
        capfd.readouterr()
        code = run(shlex.split(command))
        out, err = capfd.readouterr()
        assert code == (case["exit"] if number == len(commands) else 0), out + err
        assert "Traceback" not in out + err
    for text in case.get("contains", []):
        assert text in out + err
    for text in case.get("lacks", []):
        assert text not in out + err
    for path, value in case.get("equals", {}).items():
        assert value in list(_find_values(json.loads(out), path.split("."))), (path, out)


def _find_values(document: Any, path: list[str]) -> Iterator[Any]:
    """Every value that the path names; a `*` stands for each element of a list."""
    if not path:
        yield document
    elif path[0] == "*":
        for element in document:
            yield from _find_values(element, path[1:])
    elif isinstance(document, list) and path[0].isdigit() and int(path[0]) < len(document):
        yield from _find_values(document[int(path[0])], path[1:])
    elif isinstance(document, dict) and path[0] in document:
        yield from _find_values(document[path[0]], path[1:])


def test_rows_are_complete_and_assert_something() -> None:
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))
    for case in CASES:
        assert not case.keys() - KEYS, case["name"]
        assert case.keys() >= {"name", "about", "source", "command", "exit"}, case["name"]
        assert case.keys() & {"contains", "lacks", "equals"}, case["name"]


def test_every_folder_of_inputs_is_used() -> None:
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders == {case["files"].split("/")[0] for case in CASES if "files" in case}
