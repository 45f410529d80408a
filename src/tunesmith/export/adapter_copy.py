"""The tuned adapter alone, in PEFT's format: what vLLM and PEFT load beside the base model."""

import json
import shutil
from pathlib import Path

from tunesmith.atomic_io import hash_folder, write_atomically
from tunesmith.errors import ModelError
from tunesmith.export.exporter import ExportProof, ExportSource
from tunesmith.records import Run

MODEL_FILE = "base_model.json"
"""Which base model the adapter belongs to, with the SHA-256 of its files."""


def export_adapter(source: ExportSource, to: Path) -> ExportProof:
    """Copy the adapter of a tuned model; a run's is compared with the SHA-256 of its files.

    Errors: `ModelError` if the contender is not the tuned model, if the whole model was tuned, or
    if a file differs from what the run wrote.
    """
    model = source.model if source.is_tuned else None
    if model is None or model.identity.adapter is None:
        name = source.inference_config.contender if source.inference_config else source.name
        raise ModelError(
            "no-adapter",
            "no adapter to export",
            at=source.name,
            got=f"{name}: {'the whole' if model else 'no part of its'} model was tuned",
            hint="export it with --format bundle; or name a tuned contender with --contender",
        )
    place, identity = Path(model.identity.adapter), model.identity
    shutil.copytree(place, to)
    copied = hash_folder(to)
    expected = source.run.read(Run).adapter_files if source.run else hash_folder(place)
    if differing := sorted(name for name in expected if copied.get(name) != expected[name]):
        raise ModelError(
            "adapter-damaged",
            "adapter differs from the one that was trained",
            at=str(place),
            got=f"changed: {', '.join(differing)}",
            hint="restore the run's folder from a copy; or repeat the run",
        )
    files = {name: sha for name, sha in identity.files.items() if not name.startswith("adapter/")}
    base = {"name": identity.name, "revision": identity.revision, "files": files}
    write_atomically(to / MODEL_FILE, json.dumps(base, indent=2) + "\n")
    return ExportProof()
