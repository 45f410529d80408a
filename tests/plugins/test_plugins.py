"""The doors for outsiders: what a plugin adds is found, and what is wrong with one is said."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from tunesmith.cli.main import run
from tunesmith.data.check.run_checks import CHECKS
from tunesmith.data.read.dataset_reader import read_dataset
from tunesmith.data.read.file_formats import READERS
from tunesmith.errors import PluginError, RecipeError
from tunesmith.evaluation.scorers import SCORERS, choose_scorer
from tunesmith.export.exporter import EXPORTERS
from tunesmith.plugins import Registry
from tunesmith.providers.remote_model import COMPLETERS, open_remote_model
from tunesmith.records import RemoteRecipe
from tunesmith.records.adapter_kinds import ADAPTERS
from tunesmith.records.contender_kinds import CONTENDER_KINDS
from tunesmith.records.method_specs import METHODS
from tunesmith.records.training_services import TRAINING_SERVICES

EXAMPLE = Path(__file__).parent / "example"
REGISTRIES = [SCORERS, CHECKS, READERS, METHODS, ADAPTERS, CONTENDER_KINDS]
REGISTRIES += [COMPLETERS, EXPORTERS, TRAINING_SERVICES]
Install = Callable[[str, str, str, str, str], None]
SCORER = "class Mine:\n    name, metric, corpus_metrics = 'mine', 'mine', {}\n"


@pytest.mark.parametrize(
    "registry",
    [SCORERS, CHECKS, READERS, METHODS, ADAPTERS, CONTENDER_KINDS],
    ids=lambda one: one.kind,
)
def test_every_built_in_part_can_be_loaded(registry: Registry[object]) -> None:
    assert [name for name in registry.builtins if registry.load(name) is None] == []


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (SCORERS, ["word-overlap"]),
        (CHECKS, ["shouting"]),
        (READERS, ["toml"]),
        (METHODS, ["clipped", "hinge"]),
        (ADAPTERS, ["lora-fa"]),
        (CONTENDER_KINDS, ["nearest"]),
        (COMPLETERS, ["echo"]),
        (EXPORTERS, ["prompt-text"]),
        (TRAINING_SERVICES, ["ready-made"]),
    ],
)
def test_a_plugin_stands_behind_the_built_in_parts(
    registry: Registry[object], names: list[str], example_plugin: Path
) -> None:
    assert list(registry) == [*registry.builtins, *names]
    assert all(name in registry and registry.load(name) is not None for name in names)


def test_a_scorer_of_a_plugin_is_chosen_by_name(example_plugin: Path) -> None:
    scorer, reason = choose_scorer(["a red boat"], "word-overlap")
    assert scorer.score("a blue boat", "a red boat") == {"word_overlap": 0.5}
    assert reason == "Set as word-overlap in the configuration."
    with pytest.raises(RecipeError, match="unknown scorer 'word-overlap:1'"):  # it takes no option
        choose_scorer(["a red boat"], "word-overlap:1")


def test_a_check_of_a_plugin_runs_with_the_others(
    example_plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"prompt": f"question {n}", "completion": "LOUD WORDS" if n == 7 else f"answer {n}"}
        for n in range(240)
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert f"warning[data/shouting]: 1 of 240 examples shouts\n  at: {path} line 8\n" in printed


def test_a_reader_of_a_plugin_reads_a_file_and_a_folder(
    example_plugin: Path, tmp_path: Path
) -> None:
    table = '[[examples]]\nprompt = "q {0}"\ncompletion = "a {0}"\n'
    path = tmp_path / "data.toml"
    path.write_text("".join(table.format(number) for number in range(12)))
    for place in (path, tmp_path):
        loaded = read_dataset(place)
        assert [one.answer for one in loaded.examples] == [f"a {number}" for number in range(12)]
        assert loaded.spans[0].position_unit == "rows"


def test_a_reader_that_gives_no_rows_is_refused(install: Install, tmp_path: Path) -> None:
    install(
        "loose",
        "tunesmith.readers",
        "loose",
        "read",
        "def read(path):\n    yield {'prompt': 'q'}\n",
    )
    path = tmp_path / "data.loose"
    path.write_text("x")
    with pytest.raises(PluginError, match="instead of a row"):
        read_dataset(path)


def test_a_plugin_that_makes_no_remote_model_is_refused(install: Install) -> None:
    install("loose", "tunesmith.completers", "loose", "make", "def make(recipe):\n    return 3\n")
    with pytest.raises(PluginError, match="int has no notes, complete, constrain"):
        open_remote_model(RemoteRecipe(name="mine", model="m", base_url="loose://localhost"))


def test_a_plugin_that_cannot_be_imported_is_named(install: Install) -> None:
    install("broken", "tunesmith.scorers", "mine", "Mine", "import no_such_module\n")
    with pytest.raises(PluginError) as caught:
        choose_scorer(["a"], "mine")
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        "error[plugin/import-failed]: plugin cannot be imported\n  at: mine = "
        "broken:Mine of broken 2.0 in tunesmith.scorers\n  got: ModuleNotFoundError: No "
        "module named 'no_such_module'\n  hint: see docs/guide/plugins.md, or uninstall it"
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (SCORER, "got: Mine has no score\n"),
        ("Mine = 3\n", "got: a int\n"),
        (
            SCORER.replace("'mine', 'mine'", "'other', 'other'") + "    def score(self): ...\n",
            "whose name is 'other'",
        ),
    ],
)
def test_a_plugin_that_is_no_scorer_is_refused(source: str, found: str, install: Install) -> None:
    install("odd", "tunesmith.scorers", "mine", "Mine", source)
    with pytest.raises(
        PluginError, match=r"(?s)plugin/wrong-kind.*is not a scorer.*odd:Mine of odd 2.0"
    ) as caught:
        choose_scorer(["a"], "mine")
    assert found in str(caught.value)


@pytest.mark.parametrize("given", ["None", "[3]"])
def test_a_check_that_gives_no_problems_is_refused(
    given: str, install: Install, tmp_path: Path
) -> None:
    install("idle", "tunesmith.checks", "mine", "mine", f"def mine(context):\n    return {given}\n")
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "q", "completion": "a"}\n' * 20)
    assert run(["check", str(path)]) == 2


def test_a_name_is_taken_once(install: Install) -> None:
    install("first", "tunesmith.scorers", "mine", "Mine", "")
    install("second", "tunesmith.scorers", "mine", "Mine", "")
    with pytest.raises(
        PluginError,
        match=r"(?s)name-taken.*second:Mine of second 2.0.*got: mine = first:Mine of first",
    ):
        choose_scorer(["a"], "mine")


def test_the_name_of_a_built_in_part_is_not_taken(install: Install) -> None:
    install("greedy", "tunesmith.scorers", "exact", "Mine", "")
    with pytest.raises(
        PluginError, match=r"(?s)name-taken.*exact = greedy:Mine.*got: tunesmith itself"
    ):
        list(SCORERS)
    assert choose_scorer(["a"], "exact")[0].score("a", "a") == {
        "exact": 1.0
    }  # and the built-in one works


def test_an_unknown_name_is_told_with_the_nearest_ones() -> None:
    with pytest.raises(
        PluginError, match=r"(?s)unknown scorer 'roug-l'.*known: exact, .*did you mean rouge-l"
    ) as caught:
        SCORERS.load("roug-l")
    assert caught.value.exit_code == 2


def test_a_built_in_name_reads_no_entry_points() -> None:
    program = (
        "import sys; from tunesmith.plugins import Registry\n"
        "r = Registry('tunesmith.x', 'x', {'join': 'os.path:join'})\n"
        "assert 'join' in r and r.load('join'); print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_the_guide_lists_every_seam() -> None:
    guide = (Path(__file__).parents[2] / "docs/guide/plugins.md").read_text(encoding="utf-8")
    groups = re.findall(r"^\| [^|]* \| `(tunesmith\.\w+)` \|", guide, re.MULTILINE)
    assert sorted(groups) == sorted(registry.group for registry in REGISTRIES)


def test_the_guide_shows_the_example_as_it_is() -> None:
    guide = (Path(__file__).parents[2] / "docs/guide/plugins.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    files = [
        path.read_text(encoding="utf-8") for path in (EXAMPLE / "tunesmith_example").glob("*.py")
    ]
    assert sorted(shown) == sorted(text for text in files if "import" in text)
    named = re.findall(r'^([\w.-]+) = "(\w+\.\w+:\w+)"$', guide, re.MULTILINE)
    (plugin,) = Distribution.discover(path=[str(EXAMPLE)])
    points = plugin.entry_points
    assert sorted(named) == sorted((point.name, point.value) for point in points)
