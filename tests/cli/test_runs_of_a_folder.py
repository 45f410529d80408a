"""`tunesmith runs` lists the runs of this folder; those of other folders are asked for."""

from pathlib import Path
from typing import Any

import pytest

from tunesmith.store.store import Store
from tunesmith.testing.store_conformance import make_run


@pytest.fixture
def elsewhere(tmp_path: Path, world: Path) -> Path:
    """A folder beside the current one, with a run in it; the current one has the run `here`."""
    other = tmp_path / "other"
    with Store.open() as store:
        store.put_run(make_run(1, "here"), Path.cwd() / "runs" / "here")
        store.put_run(make_run(2, "there"), other / "runs" / "there")
    return other


def test_runs_of_other_folders_are_listed_when_they_are_asked_for(
    tunesmith: Any, elsewhere: Path
) -> None:
    def list_ids(*words: object) -> list[str]:
        return [row["id"] for row in tunesmith("runs", *words, "--json").document["runs"]]

    assert list_ids() == list_ids(".") == ["here"]
    assert list_ids("--all") == ["there", "here"]
    assert list_ids(elsewhere) == ["there"]
    assert list_ids("--all", "--limit", 1) == ["there"]


def test_a_folder_is_shown_relative_to_the_current_one(tunesmith: Any, elsewhere: Path) -> None:
    assert "  runs/here\n" in tunesmith("runs").out
    assert str(elsewhere / "runs" / "there") in tunesmith("runs", "--all").out


def test_a_folder_without_runs_says_that_others_have_some(
    tunesmith: Any, elsewhere: Path, tmp_path: Path
) -> None:
    printed = tunesmith("runs", tmp_path / "empty")
    assert printed.out.splitlines() == [
        f"no runs in {tmp_path / 'empty'}; other folders have some",
        "next: tunesmith runs --all",
    ]
