"""A run's stored records -> its report, written again: an old run gets a page of today's form.

Nothing is measured or decided again. Two things are not stored: the notes of a judge, which are
left out, and where one example of the loss mask ends, so that they are shown as one text.
"""

import json
import re
import shlex
from pathlib import Path

from tunesmith.errors import RunError
from tunesmith.evaluation.task_building import rebuild_example
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.records import (
    Analysis,
    BudgetPlan,
    CheckReport,
    ContaminationReport,
    CostReport,
    Decision,
    Evaluation,
    Example,
    Forgetting,
    JudgeQualification,
    MaskProof,
    Message,
    PowerStatement,
    Recipe,
    Run,
    Split,
    TestExample,
    TestSet,
    TextSpan,
)
from tunesmith.records.test_set_access import fingerprint_test_set, format_access_log
from tunesmith.report.report_input import ReportInput
from tunesmith.report.report_writer import write_report
from tunesmith.runs.local_inventory import find_run_folder
from tunesmith.runs.run_folder import REPORT_FILES, RunFolder
from tunesmith.runs.store_index import StoreIndex

_SPAN = re.compile("⟦(.*?)⟧", re.DOTALL)


def render_report(
    run: str, to: Path | None = None, listener: ProgressListener = NULL_LISTENER
) -> tuple[Path, Path, Path]:
    """Write the report of a run (given by folder, id, or unique prefix of an id) again: into its
    folder, or into the folder `to`. Returns the paths of report.html, report.md and report.json.

    Errors: `RunError` if the run has no verdict, or a file is missing or damaged; `StoreError`.
    """
    folder = RunFolder.open(find_run_folder(run))
    if not folder.has(Decision):
        raise RunError(
            "no-verdict",
            "run has no verdict to report",
            at=str(folder.path),
            hint="give a finished run of tunesmith decide",
        )
    content = read_report_input(folder, listener)
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        return write_report(to, content)
    with folder.lock(), folder.allow_rewriting(*REPORT_FILES):
        return write_report(folder.path, content)


def read_report_input(folder: RunFolder, listener: ProgressListener) -> ReportInput:
    """Everything that the report of this run shows. Errors: `RunError`."""
    run, recipe, test = folder.read(Run), folder.read_recipe(), folder.read(TestSet)
    evaluation, split = folder.read(Evaluation), folder.read(Split)
    with StoreIndex.open(listener) as index:
        accesses = index.list_test_set_accesses(fingerprint_test_set(split.test))
    optional = {
        kind: folder.read(kind) if folder.has(kind) else None
        for kind in (ContaminationReport, JudgeQualification, Forgetting, CostReport, Analysis)
    }
    return ReportInput(
        run=run,
        recipe=recipe,
        check=folder.read(CheckReport),
        split=split,
        mask=_read_mask(folder.path / "mask.txt"),
        metrics=folder.read_metrics().records,
        evaluation=evaluation,
        answers={one.name: folder.read_answers(one.name).records for one in evaluation.contenders},
        examples={one.id: _rebuild_example(one) for one in test.examples},
        decision=folder.read(Decision),
        command=format_repeat_command(recipe, folder),
        defaults=list_defaults(run, folder),
        power=_read_power(folder),
        contamination=optional[ContaminationReport],  # type: ignore[arg-type]
        test_set_access=format_access_log(accesses),
        qualification=optional[JudgeQualification],  # type: ignore[arg-type]
        forgetting=optional[Forgetting],  # type: ignore[arg-type]
        cost=optional[CostReport],  # type: ignore[arg-type]
        analysis=optional[Analysis],  # type: ignore[arg-type]
    )


def format_repeat_command(recipe: Recipe, folder: RunFolder) -> str:
    """The command that makes the run again."""
    stored = str(folder.path / "recipe.yaml")
    return shlex.join(["tunesmith", "decide", str(recipe.data.path), "--recipe", stored])


def list_defaults(run: Run, folder: RunFolder) -> list[tuple[str, str, str]]:
    """(key, value, source) of each number that the user did not set, or that a budget changed."""
    return [
        *((default.key, f"{default.value:g}", default.source) for default in run.defaults),
        *(folder.read(BudgetPlan).list_changes() if folder.has(BudgetPlan) else ()),
    ]


def _read_power(folder: RunFolder) -> PowerStatement | None:
    """As it was reported, with the measured disagreement; power.json has what was planned."""
    try:
        reported = json.loads((folder.path / REPORT_FILES[-1]).read_text(encoding="utf-8"))
        return PowerStatement.model_validate_json(json.dumps(reported["power"]))
    except (OSError, ValueError, KeyError, TypeError):
        return folder.read(PowerStatement) if folder.has(PowerStatement) else None


def _rebuild_example(stored: TestExample) -> Example:
    if not stored.prompt:
        return rebuild_example(stored)
    return Example(
        line=stored.line,
        messages=(*stored.prompt, Message("assistant", stored.answer)),
        group=stored.group,
        id=stored.id,
        origin=stored.origin,
    )


def _read_mask(path: Path) -> MaskProof | None:
    """The proof of the loss mask, its examples as one text; None if the run has none."""
    try:
        head, _, text = path.read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        return None
    spans: list[TextSpan] = []
    # every second part stood between the marks
    for number, part in enumerate(_SPAN.split(text.removesuffix("\n"))):
        if part:
            spans.append(TextSpan(text=part, is_trained=number % 2 == 1))
    end_of_turn = head.rstrip(".").rpartition(" ")[2]
    return MaskProof(examples=(tuple(spans),), end_of_turn=end_of_turn, is_end_of_turn_trained=True)
