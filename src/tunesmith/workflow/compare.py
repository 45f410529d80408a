"""Runs -> what changed between two, or how much seeds differ; from stored records, no model is
loaded.
"""

from collections.abc import Sequence

from tunesmith.analysis.run_diff import ComparableRun, compare_runs
from tunesmith.analysis.seed_comparison import compare_seeds
from tunesmith.errors import RunError, UsageError
from tunesmith.records import (
    CheckReport,
    Evaluation,
    Run,
    RunComparison,
    SeedComparison,
    Split,
    TestSet,
)
from tunesmith.runs.local_inventory import find_run_folder
from tunesmith.runs.run_folder import RunFolder


def compare(first: str, second: str) -> RunComparison:
    """What changed from the first run to the second, each given by id, unique prefix of an id, or
    folder.

    Errors: `RunError` if one was not evaluated or is damaged, `StoreError`, `UsageError` for the
    same run twice.
    """
    before, after = _load_run_facts((first, second))
    return compare_runs(before, after)


def compare_seed_runs(runs: Sequence[str]) -> SeedComparison:
    """How much three or more runs differ that differ in their seed only.

    Errors: as `compare`, and `UsageError` if more than the seed differs.
    """
    return compare_seeds(_load_run_facts(runs))


def _load_run_facts(names: Sequence[str]) -> list[ComparableRun]:
    folders = [RunFolder.open(find_run_folder(name)) for name in names]
    if len({folder.path for folder in folders}) < len(folders):
        raise UsageError(
            "same-run",
            "cannot compare a run with itself",
            got=" and ".join(names),
            hint="pass different runs",
        )
    unfit = [
        f"{folder.path} ({missing})"
        for folder in folders
        if (missing := _describe_missing_part(folder))
    ]
    if unfit:
        raise RunError(
            "no-evaluation",
            "only evaluated runs of `tunesmith decide` can be compared",
            at=" and ".join(unfit),
            hint=("run tunesmith decide; or tunesmith evaluate with both runs on the same data"),
        )
    for folder in folders:
        folder.check_integrity()
    return [_build_run_facts(folder) for folder in folders]


def _describe_missing_part(folder: RunFolder) -> str:
    """Why the folder cannot be compared; empty if it can."""
    if not folder.has(Run):
        return "not a run: no run.json"
    if not folder.has(Evaluation):
        return f"{folder.read(Run).status}, no evaluation"
    return ""


def _build_run_facts(folder: RunFolder) -> ComparableRun:
    evaluation = folder.read(Evaluation)
    tested = folder.read(TestSet).examples if folder.has(TestSet) else ()
    return ComparableRun(
        run=folder.read(Run),
        recipe=folder.read_recipe(),
        check=folder.read(CheckReport),
        split=folder.read(Split),
        evaluation=evaluation,
        answers={one.name: folder.read_answers(one.name).records for one in evaluation.contenders},
        groups={one.id: one.group for one in tested if one.group is not None},
    )
