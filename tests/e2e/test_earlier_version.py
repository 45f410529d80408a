"""What a build before decision 138 wrote is read, shown, decided again, resumed and fingerprinted.

`earlier_version.tar.xz` was written by commit cd5be16 with a tiny random model: a finished decision
(without its report.html), a training killed after step 4, their store, a recipe, and the
fingerprints that its own code computed.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from door import Door

from tunesmith.atomic_io import hash_folder
from tunesmith.recipe.recipe_loader import OldKeyWarning, load_recipe
from tunesmith.recipe.recipe_yaml import parse_yaml
from tunesmith.records import Decision, Run, Split, compute_fingerprint
from tunesmith.records.test_set_access import fingerprint_test_set
from tunesmith.runs.resume_checks import fingerprint_recipe
from tunesmith.runs.run_folder import RECORD_FILES, RunFolder
from tunesmith.runs.store_index import StoreIndex
from tunesmith.store.store import Store
from tunesmith.testing.recording_listener import RecordingListener

WRITTEN_AT = "/tmp/earlier"
"""The folder in which it was written; its recipes name it."""


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[Path]:
    """The unpacked files; the home folder of that version is the home folder of the test."""
    with tarfile.open(Path(__file__).with_name("earlier_version.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "earlier/home"))
    yield tmp_path / "earlier"


def only_run(folder: Path) -> RunFolder:
    (path,) = folder.iterdir()
    return RunFolder.open(path)


def test_every_record_has_the_fingerprint_that_it_had(earlier: Path) -> None:
    folder = only_run(earlier / "finished")
    known: dict[str, str] = json.loads((earlier / "fingerprints.json").read_text())
    recipe = known.pop("recipe.yaml")
    for name in ("run.json", "check.json"):
        known.pop(name)  # these gained a field since; no store or file is keyed by them
    kinds = {name: kind for kind, name in RECORD_FILES.items()}
    assert {name: folder.read(kinds[name]).fingerprint for name in known} == known
    run = folder.read(Run)
    assert fingerprint_recipe(folder, run, folder.read_recipe()) == recipe == run.recipe
    assert folder.find_damage() == ()


def test_a_changed_recipe_of_an_earlier_version_has_another_fingerprint(earlier: Path) -> None:
    folder = only_run(earlier / "killed")
    file = folder.path / "recipe.yaml"
    file.write_text(file.read_text().replace("weight_decay: 0.0", "weight_decay: 0.5"))
    run = folder.read(Run)
    assert fingerprint_recipe(folder, run, folder.read_recipe()) != run.recipe


def test_a_finished_run_is_shown_and_decided_again(earlier: Path, tunesmith: Door) -> None:
    folder = only_run(earlier / "finished")
    shown = tunesmith("show", folder.path)
    assert shown.code == 0, shown.err
    before = json.loads((folder.path / "decision.json").read_text())
    assert f"verdict: {before['verdict']}" in shown.out
    again = tunesmith("decide", folder.path, "--json")
    assert again.code == 0, again.err
    assert again.document["verdict"] == before["verdict"]
    assert "earlier version" not in again.err, "the file is ours, not the user's to change"
    decision = folder.read(Decision)
    assert decision.requirements.min_gain == 0.02
    assert decision.usage_context.recurrence == "once"
    assert decision.usage_context.data_residency == "local"


def test_the_store_lists_its_runs_and_enters_nothing_twice(earlier: Path, tunesmith: Door) -> None:
    folder = only_run(earlier / "finished")
    listed = tunesmith("runs", "--all", "--json")
    assert folder.id in listed.out, listed.err
    test_set = fingerprint_test_set(folder.read(Split).test)

    def count() -> tuple[int, int, int]:
        with Store.open() as store:
            return (
                len(store.list_datasets()),
                len(store.list_evaluations(folder.id)),
                len(store.list_test_set_accesses(test_set)),
            )

    before = count()
    with StoreIndex.open(RecordingListener()) as index:
        index.record_run(folder)
    assert count() == before and all(before)


def test_a_recipe_with_old_keys_is_read_and_its_user_is_told_the_new_ones(earlier: Path) -> None:
    file = only_run(earlier / "killed").path / "recipe.yaml"
    with pytest.warns(OldKeyWarning, match="training.warmup_share is now training.warmup_ratio"):
        recipe = load_recipe(file)
    assert (recipe.training.num_evals, recipe.evaluation.max_shots) == (2, 2)
    assert recipe.evaluation.prompt_optimizer == "builtin"
    assert not recipe.data.train_on_prompts
    assert recipe == load_recipe(file, is_stored=True)


def moved(folder: RunFolder, place: Path) -> None:
    """The run as that version would have written it in this place."""
    for name in ("recipe.yaml", "run.json"):
        file = folder.path / name
        file.write_text(file.read_text().replace(WRITTEN_AT, str(place)))
    file = folder.path / "recipe.yaml"
    fingerprint = compute_fingerprint(parse_yaml(file.read_text(), str(file)))
    run: dict[str, Any] = json.loads((folder.path / "run.json").read_text())
    run["recipe"] = run["identity"]["recipe"] = fingerprint
    (folder.path / "run.json").write_text(json.dumps(run))
    (folder.path / "checksums.json").unlink()


def test_a_killed_training_is_resumed_to_its_end(earlier: Path, tunesmith: Door) -> None:
    folder = only_run(earlier / "killed")
    moved(folder, earlier)
    # Versions and threads may be others by now; the recipe and the data may not.
    resumed = tunesmith("resume", folder.path, "--allow-drift")
    assert resumed.code == 0, resumed.err
    run = folder.read(Run)
    assert (run.status, run.resume_count) == ("finished", 1)
    assert run.result is not None and run.result.steps == 9
    changed = {change.split()[0].rstrip(":") for change in run.environment_changes}
    assert changed.isdisjoint({"recipe", "data", "model", "tokenizer"})
    assert hash_folder(folder.path / "adapter") == run.adapter_files
