"""What must be the same when a run is resumed: the test examples, the scorer, and everything else
that would make it end differently (`Run.reproducibility_key`).
"""

from collections.abc import Iterable, Mapping, Sequence

from tunesmith.errors import RunError
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import Recipe, Run, Split, TestExample, TestSet
from tunesmith.runs.run_folder import RunFolder


def check_same_data(
    folder: RunFolder,
    before: Run,
    split: Split,
    examples: Sequence[TestExample],
    path: str | None,
    limit: int | None = None,
) -> None:
    """Answers to different examples cannot be compared. With `limit` only those with the first ids
    of the test set count: it was limited while the run went on. Errors: `RunError`.
    """
    first = set(split.test[:limit])
    now = _without_places(one for one in examples if one.id in first)
    # Before the first answer there is no test set to compare with; the split alone must agree.
    stored = folder.read(TestSet).examples if folder.has(TestSet) else examples
    tested = _without_places(one for one in stored if one.id in first)
    if before.split != split.fingerprint or tested != now:
        raise RunError(
            "other-data",
            "data has changed since the run started",
            at=path or "",
            got="a different split or different test examples",
            hint="restore the data; or start a new run",
        )


def _without_places(examples: Iterable[TestExample]) -> list[TestExample]:
    """The examples without file and line: a file may have another name seen from another folder,
    and older versions did not record the line.
    """
    return [one.replace(line=0, origin=None) for one in examples]


def check_same_scorer(folder: RunFolder, before: str | None, now: str | None) -> None:
    """Contenders scored by two scorers cannot be compared, whatever drift is allowed. Errors:
    `RunError`.
    """
    # Without stored answers nothing was scored yet, so another scorer does no harm.
    if before != now and folder.list_contenders():
        raise RunError(
            "other-scorer",
            "scorer has changed since the run started",
            at=str(folder.path),
            got=f"{(before or 'none')[:40]} -> {(now or 'none')[:40]}",
            hint="restore the scorer; or start a new run",
        )


def list_identity_changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """The differences, for example `torch: 2.13.0 -> 2.14.1`; hashes are shortened."""

    def shorten(value: str | None) -> str:
        # Twelve digits tell any two hashes apart and keep the line readable.
        return value[:12] if value else "unknown"

    return tuple(
        f"{name}: {shorten(before.get(name))} -> {shorten(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


def fingerprint_recipe(folder: RunFolder, before: Run, recipe: Recipe) -> str:
    """The fingerprint of the recipe to resume with. A file of an earlier version, which has keys by
    other names, keeps the one that it had if nothing in it was changed.
    """
    as_written = folder.fingerprint_recipe_file()
    is_unchanged = before.reproducibility_key.get("recipe") == as_written
    return as_written if is_unchanged and recipe == folder.read_recipe() else recipe.fingerprint


def build_resumed_run(
    before: Run,
    now: Mapping[str, str],
    allow_drift: bool,
    folder: RunFolder,
    listener: ProgressListener,
) -> Run:
    """The run's record for another session. Errors: `RunError` for a difference that is not
    allowed.
    """
    drift = list_identity_changes(before.reproducibility_key, now)
    if drift and not allow_drift:
        raise RunError(
            "drift",
            "environment differs from that of the original run, so results would not be "
            "reproducible",
            at=str(folder.path),
            got="; ".join(drift),
            hint="restore it; or resume anyway with --allow-drift",
        )
    for difference in drift:
        listener.warn(
            "run/drift", f"resuming despite a difference: {difference}", difference=difference
        )
    changes = {
        "reproducibility_key": dict(now),
        "environment_changes": (*before.environment_changes, *drift),
        "resume_count": before.resume_count + 1,
    }
    if before.status != "finished":
        # The interrupted result is replaced by that of the whole training.
        changes |= {"status": "running", "result": None}
    return before.replace(**changes)
