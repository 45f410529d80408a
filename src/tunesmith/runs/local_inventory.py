"""What is on this machine: models, the sample, runs."""

import os.path
from pathlib import Path
from typing import Any

from tunesmith.data.names_sample import fetch_names_sample
from tunesmith.errors import InputError, RunNotFound, StoreError
from tunesmith.models.embedded import (
    get_embedded_models,
    get_embedding_models,
    resolve_embedding_model,
)
from tunesmith.models.resolve import is_folder_path, list_known_models
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import resolve
from tunesmith.records import Decision, Recipe, Run
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.store_index import (
    StoreIndex,
    add_unknown_runs,
    list_folder_artifacts,
    refresh_store,
)
from tunesmith.store.store import Store
from tunesmith.store.stored_records import StoredRun, UnreadableRun

DEFAULT_RUNS_FOLDER = Path("runs")
"""Where runs are created unless another folder is named."""


def fetch_sample() -> Path:
    """Path of the sample data, downloaded on first use. Errors: `InputError` without a network."""
    return fetch_names_sample()


def fetch_embedded() -> None:
    """Download the embedded models and the sample unless they are on this machine. Errors:
    `InputError`.
    """
    fetch_sample()
    for name in get_embedded_models():
        resolve(name)
    for name in get_embedding_models():
        resolve_embedding_model(name)


def list_models() -> list[dict[str, Any]]:
    """Embedded models, models in the hub's cache, and the adapters and models of runs, as table
    rows.
    """
    rows = [
        {
            "name": model.name,
            "kind": model.source,
            "ready": "yes" if model.is_available else "not downloaded",
            "where": model.folder,
        }
        for model in list_known_models()
    ]
    with Store.open() as store:
        tuned = [*store.list_artifacts(kind="adapter"), *store.list_artifacts(kind="model")]
    return rows + [
        {
            "name": artifact.run,
            "kind": artifact.kind,
            "ready": "yes" if Path(artifact.path).is_dir() else "missing",
            "where": artifact.path,
        }
        for artifact in tuned
    ]


def list_runs(limit: int, within: Path | None = None) -> list[dict[str, Any]]:
    """The newest runs as table rows: id, status, model, verdict, folder; with `within` only those
    in or below this folder.

    The store is first updated from their folders, and with other runs in the same parent folders
    and in `runs/`.
    """
    with Store.open() as store:
        parents = [Path(row.folder).parent for row in store.list_runs(limit, within)]
        here = [] if within is None else [within, within / DEFAULT_RUNS_FOLDER]
        add_unknown_runs(store, [DEFAULT_RUNS_FOLDER, *here, *parents])
        return [_build_row(store, row) for row in store.list_runs(limit, within)]


def _build_row(store: Store, row: StoredRun | UnreadableRun) -> dict[str, Any]:
    folder = Path(row.folder)
    known = row.run if isinstance(row, StoredRun) else row
    run = refresh_store(store, folder) or (known if isinstance(known, Run) else None)
    return {
        "id": known.id,
        "created": known.created,
        "status": _compute_status(run, folder) if run else "unreadable",
        "command": run.command if run else "",
        "model": ", ".join(run.model_names) if run else "",
        "verdict": _read_verdict(folder),
        "folder": row.folder,
    }


def show_run(run: str, listener: ProgressListener = NULL_LISTENER) -> dict[str, Any]:
    """Everything known about one run, given by id, unique prefix of an id, or folder; `damaged`
    names each file that differs from its checksum.

    Errors: `RunError`, `StoreError`.
    """
    opened = RunFolder.open(find_run_folder(run))
    head = opened.read(Run)
    damaged = opened.find_damage()
    decision = opened.read(Decision) if opened.has(Decision) else None
    with StoreIndex.open(listener) as index:
        index.refresh(opened)
        artifacts = index.list_artifacts(head.id) or list_folder_artifacts(opened, head)
    return {
        "run": head.model_dump(mode="json"),
        "status": _compute_status(head, opened.path),
        "folder": str(opened.path),
        "recipe": opened.read_recipe().model_dump(mode="json"),
        "decision": decision.model_dump(mode="json") if decision else None,
        "artifacts": [artifact.model_dump(mode="json") for artifact in artifacts],
        "damaged": list(damaged),
        "has_checksums": opened.has_checksums(),
    }


def find_run_folder(run: str) -> Path:
    """The folder of a run given by its folder, its id, or a unique prefix of its id; `runs/` is
    searched if the store does not know it.

    Errors: `StoreError`.
    """
    if is_folder_path(run):
        return Path(run).expanduser()
    try:
        with Store.open() as store:
            return Path(store.get_run_folder(run))
    except StoreError:
        found = RunFolder.list_all(DEFAULT_RUNS_FOLDER, run)
        if len(found) == 1:
            return found[0].path
        raise


def resolve_run_or_name(name: str) -> str:
    """A run's folder if the name is that of a run, else the name: it may be a model's.

    A path stays as written except for `~`: without its `./` it could be taken for a hub name.
    Errors: `RunError` if files that every use of the run needs are damaged.
    """
    if is_folder_path(name):
        path = os.path.expanduser(name)
        _check_head(Path(path))
        return path
    if not name[:1].isdigit():
        return name  # run ids begin with a date: no need to open the store for a model's name
    try:
        folder = find_run_folder(name)
    except RunNotFound:
        return name
    _check_head(folder)
    return str(folder)


def _check_head(folder: Path) -> None:
    if "\0" not in str(folder) and os.path.isfile(folder / "run.json"):
        RunFolder.open(folder).check_integrity("run.json", "recipe.yaml")


def read_run_recipe(folder: str) -> Recipe | None:
    """The recipe of a run; None if the folder is not a run's. Errors: `RecipeError`."""
    is_run = (Path(folder) / "recipe.yaml").is_file()
    return RunFolder.open(folder).read_recipe() if is_run else None


def _compute_status(run: Run, folder: Path) -> str:
    """The status to show. A run recorded as running without a process that holds its lock was
    killed; a decision whose tuning is finished still runs until its verdict.
    """
    opened = RunFolder(folder)
    is_tuned_only = (
        run.command == "decide"
        and run.status == "finished"
        and folder.is_dir()
        and not opened.has(Decision)
    )
    if run.status != "running" and not is_tuned_only:
        return run.status
    if folder.is_dir() and opened.is_in_use():
        return "running"
    return "interrupted" if is_tuned_only else "killed"


def _read_verdict(folder: Path) -> str | None:
    """The verdict, or "unreadable": a damaged decision must not hide the other runs of a list."""
    try:
        opened = RunFolder(folder)
        return opened.read(Decision).verdict if opened.has(Decision) else None
    except InputError:
        return "unreadable"
