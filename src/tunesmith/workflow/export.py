"""The winner of a run, another contender, or an adapter -> a folder in one of the export formats
(`export/exporter.py`), whole or absent.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.atomic_io import sync_folder
from tunesmith.contenders.contender_loading import choose_contender
from tunesmith.errors import ModelError
from tunesmith.export.answers_proof import AnswersProof
from tunesmith.export.exporter import DEFAULT_FORMAT, EXPORTERS, ExportSource
from tunesmith.export.merged_model import list_sampling_settings
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.records import Run
from tunesmith.runs.local_inventory import resolve_run_or_name
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import set_exit_message
from tunesmith.runs.store_index import StoreIndex, build_artifact
from tunesmith.temporary_files import make_temporary_folder

if TYPE_CHECKING:
    from tunesmith.engine.adapters.merge import MergeProof


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote: which contender and why, the proof of merging, and that of the answers.

    `merge` is None if nothing was merged; `answers` is None for an adapter without a run. `dtype`
    is what the weights are computed in, None if a service answers. `sampling` lists the settings in
    the folder that make servers answer differently than measured, unless they are called with
    greedy decoding.
    """

    folder: Path
    contender: str | None
    reason: str
    merge: "MergeProof | None"
    answers: AnswersProof | None
    dtype: str | None
    sampling: tuple[str, ...] = ()


def export(
    name: str,
    to: Path,
    contender: str | None = None,
    listener: ProgressListener = NULL_LISTENER,
    format: str = DEFAULT_FORMAT,
) -> ExportResult:
    """Write the winner of a run, its `contender` of that name, or an adapter to the folder `to`;
    `format` is the name of an exporter.

    Errors: `ModelError`, `RunError`, `StoreError`, `UsageError`, `PluginError` for an unknown
    format; `GateFailed` if it would answer differently than measured: then nothing is written.
    """
    export_source = EXPORTERS.load(format)
    given = resolve_run_or_name(name)
    if os.path.lexists(to):  # lexists also finds a dangling link
        raise ModelError(
            "target-exists",
            "output path already exists",
            at=str(to),
            hint="use another folder",
        )
    source, reason = _find_source(given, contender)
    with _stage_folder(to) as temporary:
        proof = export_source(source, temporary)
    set_exit_message(lambda: f"Saved in {to}: the whole folder")
    if source.run is not None:
        # the folder is complete: a failing store is only a warning
        with StoreIndex.open(listener) as index:
            index.add_artifact(build_artifact("export", to, source.run.read(Run).id), source.run)
    return ExportResult(
        to,
        source.inference_config.contender if source.inference_config else None,
        reason,
        proof.merge,
        proof.answers,
        proof.dtype,
        list_sampling_settings(to),
    )


def _find_source(given: str, contender: str | None) -> tuple[ExportSource, str]:
    """What is exported, and why this contender. Errors: `ModelError` for a base model."""
    if (Path(given) / "run.json").is_file():
        folder = RunFolder.open(given)
        chosen = choose_contender(folder, contender)
        return ExportSource(given, folder, chosen.inference_config), chosen.reason
    source = ExportSource(given)
    if source.model is None or source.model.identity.adapter is None:
        raise ModelError(
            "nothing-tuned",
            "nothing to merge: this is a base model",
            at=given,
            hint="pass a run or an adapter",
        )
    return source, ""


@contextmanager
def _stage_folder(to: Path) -> Iterator[Path]:
    """A temporary folder next to `to` that is renamed to it if the block succeeds, and removed if
    it fails.
    """
    with make_temporary_folder(to) as temporary:
        place = temporary / to.name
        yield place
        # verify_bundle has run the programs in this folder.
        for path in place.rglob("__pycache__"):
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        # fsync before the rename: after a power cut the folder is either complete or absent.
        sync_folder(place)
        os.rename(place, to)
    sync_folder(to.parent)
