"""Formats of `export`: each is a function from what is exported to a folder, built in or of a
plugin.

An exporter writes into a folder that does not exist yet and becomes visible when the exporter
returns, or never. What it returns says how it was proved; nothing unproved is called done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.contenders.contender_loading import TUNED_CONTENDER, open_base_model
from tunesmith.export.answers_proof import AnswersProof
from tunesmith.export.merged_model import build_probes
from tunesmith.plugins import Registry
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import InferenceConfig
from tunesmith.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from tunesmith.engine.adapters.merge import MergeProof


@dataclass(frozen=True)
class ExportSource:
    """What is exported: a contender of a run, or the adapter in a folder that is not a run's.

    `name` is the folder or model as it was given; `run` and `inference_config` are None for an
    adapter alone.
    """

    name: str
    run: RunFolder | None = None
    inference_config: InferenceConfig | None = None

    @property
    def is_tuned(self) -> bool:
        """Whether the tuned model answers; for an adapter alone always."""
        return self.inference_config is None or self.inference_config.model == TUNED_CONTENDER

    @cached_property
    def model(self) -> ResolvedModel | None:
        """The model that answers: base model and adapter, a fully tuned model, the base model; None
        if a service answers. Errors: `ModelError`."""
        if self.is_tuned:
            return ResolvedModel.open(str(self.run.path) if self.run else self.name)
        if self.run is None or (self.inference_config and self.inference_config.remote):
            return None
        return open_base_model(self.run, self.run.read_recipe())

    def write_merged_model(self, to: Path) -> "MergeProof":
        """Write the tuned model with its adapter merged as the new folder `to`: float32, an
        ordinary model folder. Errors: `ModelError`; `GateFailed` if it would answer differently."""
        from tunesmith.engine.adapters.merge import export_merged  # loads torch

        assert self.model is not None  # the tuned model is on this machine
        identity = self.model.identity
        probes = build_probes(self.run, self.model.tokenizer, self.model.context_tokens)
        adapter = Path(identity.adapter) if identity.adapter else None
        return export_merged(Path(identity.folder), adapter, probes, to)


@dataclass(frozen=True)
class ExportProof:
    """How what was written was compared with what was measured.

    `merge`: the merged model with model and adapter, None if nothing was merged. `answers`: the
    answers with those of the run, None if none were compared. `dtype`: what the weights are
    computed in, None without weights.
    """

    merge: "MergeProof | None" = None
    answers: AnswersProof | None = None
    dtype: str | None = None


DEFAULT_FORMAT = "bundle"
EXPORTERS: Registry[Callable[[ExportSource, Path], ExportProof]] = Registry(
    "tunesmith.exporters",
    "export format",
    {
        DEFAULT_FORMAT: "tunesmith.export.bundle:export_bundle",
        "adapter": "tunesmith.export.adapter_copy:export_adapter",
    },
)
"""Functions that write a new folder from an `ExportSource`. Errors: `InputError` for a contender
that the format cannot hold; `GateFailed` if it would answer differently."""
