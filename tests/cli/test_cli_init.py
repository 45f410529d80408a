"""`tunesmith init` as it is typed, and the file that it leaves."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Printed
from tunesmith.recipe.recipe_edit import QUESTIONS, format_section, replace_section
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Recipe, UsageContext

Door = Callable[..., Printed]

RECIPE = """\
# our recipe
model: smollm2-135m-instruct   # the small one

usage:   # asked in May
  task_change_frequency: weekly

  # of the team
  recurrence: ongoing

# how long
training:
  epochs: 2   # enough
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def lines(*answers: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal("".join(f"{answer}\n" for answer in answers)))

    return lines


def test_answers_by_number_by_word_or_enter(tunesmith: Door, typed: Callable[..., None]) -> None:
    typed("4", "", "ongoing", "12,000", "1", "2.5")
    shown = tunesmith("init")
    assert shown.code == 0, shown.err
    assert load_recipe(Path("recipe.yaml")) == Recipe(
        usage=UsageContext(
            task_change_frequency="weekly",
            recurrence="ongoing",
            requests_per_month=12_000,
            data_residency="local",
            max_wait_seconds=2.5,
        )
    )
    assert "1 never  2 yearly  3 monthly  4 weekly  5 daily  (Enter: unknown)" in shown.err
    assert "fact_change_frequency: unknown" in shown.out
    assert shown.out.splitlines()[-1] == "next: tunesmith decide DATA --recipe recipe.yaml"


def test_it_asks_once(tunesmith: Door, typed: Callable[..., None]) -> None:
    typed("1", "1", "1", "5", "1", "")
    tunesmith("init")
    typed("3")
    assert tunesmith("init").err.count("?") == 1  # only what was left open
    typed("", "", "", "", "", "")
    assert tunesmith("init", "--again").err.count("?") == len(QUESTIONS)
    assert load_recipe(Path("recipe.yaml")).usage.max_wait_seconds == 3  # Enter changes nothing


def test_what_is_no_answer_is_asked_again(tunesmith: Door, typed: Callable[..., None]) -> None:
    typed("9", "often", "daily", "", "", "-3", "many", "1e99", "7", "", "")
    shown = tunesmith("init")
    assert shown.err.count("please choose one of the listed options") == 5
    said = load_recipe(Path("recipe.yaml")).usage
    assert (said.task_change_frequency, said.requests_per_month) == ("daily", 7)


def test_an_input_that_ends_leaves_the_rest_unknown(
    tunesmith: Door, typed: Callable[..., None]
) -> None:
    typed("5")
    assert tunesmith("init").code == 0
    assert load_recipe(Path("recipe.yaml")).usage == UsageContext(task_change_frequency="daily")


def test_nobody_to_ask_is_an_error_that_says_what_to_do(
    tunesmith: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    shown = tunesmith("init")
    assert shown.code == 2 and not Path("recipe.yaml").exists()
    assert shown.message == (
        "error[usage/nobody-to-ask]: cannot prompt for answers\n  got: standard input is not "
        "a terminal\n  hint: answer with --set, for example --set "
        "usage.requests_per_month=5000"
    )


def test_set_keeps_every_other_line_as_it_was_written(tunesmith: Door) -> None:
    Path("r.yaml").write_text(RECIPE)
    shown = tunesmith("init", "r.yaml", "--set", "usage.data_residency=own cloud", "--json")
    assert shown.document["usage"]["data_residency"] == "private_cloud"
    text = Path("r.yaml").read_text()
    assert text.startswith("# our recipe\nmodel: smollm2-135m-instruct   # the small one\n\nusage:")
    assert text.endswith("\n\n# how long\ntraining:\n  epochs: 2   # enough\n")
    found = load_recipe(Path("r.yaml"))
    assert found.training.epochs == 2
    assert found.usage == UsageContext(
        task_change_frequency="weekly", recurrence="ongoing", data_residency="private_cloud"
    )
    tunesmith("init", "r.yaml", "--set", "usage.recurrence=once")
    assert len(Path("r.yaml").read_text().splitlines()) == len(text.splitlines())
    assert sorted(path.name for path in Path().iterdir()) == ["r.yaml"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("training.epochs=2", "usage/other-key"),
        ("usage=null", "usage/other-key"),
        ("usage.task_change_frequency=often", "recipe/wrong-value"),
        ("usage.task_change=weekly", "recipe/unknown-key"),
        ("usage.requests_per_month=-1", "recipe/wrong-value"),
    ],
)
def test_other_keys_and_wrong_values_change_nothing(
    tunesmith: Door, change: str, code: str
) -> None:
    Path("r.yaml").write_text(RECIPE)
    shown = tunesmith("init", "r.yaml", "--set", change)
    assert shown.code == 2 and f"error[{code}]" in shown.message
    assert Path("r.yaml").read_text() == RECIPE


def test_a_preset_is_not_written(tunesmith: Door) -> None:
    shown = tunesmith("init", "quick", "--set", "usage.recurrence=once")
    assert shown.code == 2 and "error[usage/preset]" in shown.message and not Path("quick").exists()


@pytest.mark.parametrize(
    "text",
    [
        "{model: m, seed: 1}\n",
        "usage: {recurrence: once,\ntask_change_frequency: daily}\n",
        "'usage':\n  recurrence: once\n",
    ],
)
def test_a_section_that_cannot_be_replaced_alone_is_left(tunesmith: Door, text: str) -> None:
    Path("r.yaml").write_text(text)
    shown = tunesmith("init", "r.yaml", "--set", "usage.recurrence=ongoing")
    assert shown.code == 2 and "error[recipe/section-in-the-way]" in shown.message
    assert Path("r.yaml").read_text() == text
    assert sorted(path.name for path in Path().iterdir()) == ["r.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model: m\n",
        "model: m",
        "usage:\n",
        "usage: {recurrence: once}\n",
        "usage:\n  recurrence: once\nmodel: m\n",
        "model: m\nusage:\n  recurrence: once\n\n\n# end\n",
    ],
)
def test_the_section_is_replaced_wherever_it_stands(tmp_path: Path, text: str) -> None:
    said = UsageContext(task_change_frequency="never", max_wait_seconds=0.5)
    path = tmp_path / "r.yaml"
    path.write_text(replace_section(text, format_section(said)))
    found = load_recipe(path)
    assert found.usage == said and path.read_text().count("usage:") == 1
    assert found.model == ("m" if "model" in text else Recipe().model)
