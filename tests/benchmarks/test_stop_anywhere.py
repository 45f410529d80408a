"""Every step that benchmarks/stop_anywhere.py stands still at names something that exists."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

TREE = ast.parse(
    (Path(__file__).parents[2] / "benchmarks" / "stop_anywhere.py").read_text(encoding="utf-8")
)
TARGETS = sorted(
    {
        node.args[2].value
        for node in ast.walk(TREE)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Step"
        and isinstance(node.args[2], ast.Constant)
    }
)


def test_there_are_steps() -> None:
    assert len(TARGETS) > 30


@pytest.mark.parametrize("target", TARGETS)
def test_each_step_names_a_function(target: str) -> None:
    path = "tunesmith"
    value: Any = import_module(path)
    for part in target.split("."):
        try:
            path = f"{path}.{part}"
            value = import_module(path)
        except ModuleNotFoundError:
            value = getattr(value, part)
    assert callable(value)
