"""The check that a gate advises reads the data as the recipe does, and can be pasted."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.check import check_examples
from tunesmith.errors import GateFailed
from tunesmith.progress_listener import NULL_LISTENER
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.workflow.check import report_problems
from tunesmith.workflow.data_preparation import read_examples


def write_table(path: str, rows: list[list[str]]) -> None:
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def advised(changes: list[str]) -> list[str]:
    """The words behind `tunesmith` in what the gate advises."""
    recipe = load_recipe(None, changes)
    with pytest.raises(GateFailed) as refused:
        report_problems(check_examples(read_examples(recipe)), NULL_LISTENER, recipe)
    program, *words = shlex.split(refused.value.hint.rpartition("numbers: ")[2])
    assert program == "tunesmith"
    return words


@pytest.mark.parametrize("question", ["my question", "question, in full", "a=b", "it's", " padded"])
def test_the_advised_check_has_the_columns_of_the_recipe(tunesmith: Any, question: str) -> None:
    write_table(
        "my data.csv",
        [[question, "reply", "customer"], *([f"q {i}", "a" if i else "", "c"] for i in range(12))],
    )
    columns = '{"prompt": "' + question.strip() + '", "completion": "reply"}'
    words = advised(
        ["data.path=my data.csv", f"data.columns={columns}", "data.group_column=customer"]
    )
    assert words[:2] == ["check", "my data.csv"] and words[-2:] == ["--group", "customer"]
    printed = tunesmith(*words)
    assert (
        printed.code == 1 and "error[data/no-answer]" in printed.out and "line 2\n" in printed.out
    )
    assert shlex.split(printed.out.splitlines()[-1])[2:] == words


def test_the_advised_check_reads_with_the_method_of_the_recipe(tunesmith: Any) -> None:
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    row = {"messages": chat, "prompt": "q", "chosen": "a", "rejected": "a"}
    Path("d.jsonl").write_text((json.dumps(row) + "\n") * 12)
    words = advised(["data.path=d.jsonl", "method=dpo"])
    assert words == ["check", "d.jsonl", "--method", "dpo"]
    printed = tunesmith(*words)
    assert printed.code == 1 and "error[data/same-answers]: 12 of 12 examples have" in printed.out


def test_a_task_of_another_tool_can_be_checked(tunesmith: Any) -> None:
    Path("p.yaml").write_text(
        "prompts: ['Capital of {{land}}?']\nproviders: [x]\ntests:\n"
        + "".join(
            f"  - vars: {{land: L{i}}}\n    assert: [{{type: equals, value: C{i}}}]\n"
            for i in range(12)
        )
    )
    printed = tunesmith("check", "p.yaml")
    assert printed.code == 0 and printed.out.startswith("p: 12 examples in messages format")
