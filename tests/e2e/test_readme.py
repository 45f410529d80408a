"""The README holds: its commands parse, its links lead somewhere, its Python example runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
import yaml

from tunesmith.cli.main import app
from tunesmith.cli.recipe_flags import expand_recipe_flags
from tunesmith.decision.power_statement import build_power_statement
from tunesmith.records.decision import Requirements

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    command
    for line in README.splitlines()
    if line.startswith("| `tunesmith ")
    for command in re.findall(r"`(tunesmith [^`]+)`", line.split(" | ")[0])
]


def test_every_command_is_shown() -> None:
    assert {shlex.split(line)[1] for line in COMMANDS} == set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one_that_the_program_takes(line: str) -> None:
    _, name, *words = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    words = expand_recipe_flags(words, {flag for one in command.params for flag in one.opts})
    context = command.make_context(name, words)
    assert context.command is command


def test_what_a_test_set_can_show_is_quoted_as_it_is_printed() -> None:
    sentence, _, _ = build_power_statement(80, Requirements(min_gain=0.03)).sentence.partition(
        ". (Assumed"
    )
    assert f'"{sentence}"' in " ".join(README.split())


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_a_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_python_example_runs(
    fields_jsonl: Path,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy(fields_jsonl, tmp_path / "tickets.jsonl")
    monkeypatch.chdir(tmp_path)
    marker = "budget_minutes=15, "
    assert marker in example
    settings = [word for word in settings if word != "--set"]
    changes = {key: yaml.safe_load(text) for key, text in (one.split("=", 1) for one in settings)}
    exec(example.replace(marker, f"**{changes!r}, "), {})
    verdict, *reasons = capsys.readouterr().out.split("\n- ")
    assert verdict.splitlines()[-1] in (
        "fine-tune",
        "prompt",
        "rag",
        "fine-tune+rag",
        "stop",
        "cannot tell",
    )
    assert reasons
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert sum(bool(line.strip()) for line in example.splitlines()) <= 12
