"""The built-in export formats hold the contract of the seam, and a format is chosen by its name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.atomic_io import hash_folder
from tunesmith.errors import ModelError, PluginError
from tunesmith.export.adapter_copy import MODEL_FILE
from tunesmith.export.exporter import EXPORTERS, ExportProof, ExportSource
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import ModelIdentity
from tunesmith.testing.exporter_conformance import ExporterConformance
from tunesmith.testing.fake_tokenizer import FakeTokenizer
from tunesmith.workflow.export import export


class TestBundle(ExporterConformance):
    def get_exporter(self):  # type: ignore[no-untyped-def]
        return EXPORTERS.load("bundle")

    def make_refused_source(self, folder: Path) -> ExportSource:
        """A service with another protocol than its answer.py speaks."""
        source = self.make_source(folder)
        assert source.inference_config is not None and source.inference_config.remote is not None
        remote = source.inference_config.remote.replace(base_url="echo://localhost")
        return replace(source, inference_config=source.inference_config.replace(remote=remote))


class AdapterSource(ExportSource):
    """An adapter in a folder, on a model that is not there."""

    @property
    def model(self) -> ResolvedModel:  # type: ignore[override]
        """Its identity only."""
        identity = ModelIdentity(
            name="org/model",
            source="hub",
            revision="abc",
            folder="/nowhere",
            files={"model.safetensors": "11", "adapter/adapter_config.json": "22"},
            adapter=self.name,
        )
        return ResolvedModel(identity, FakeTokenizer(), None)


class TestAdapter(ExporterConformance):
    def get_exporter(self):  # type: ignore[no-untyped-def]
        return EXPORTERS.load("adapter")

    def make_source(self, folder: Path) -> ExportSource:
        place = folder / "adapter"
        place.mkdir()
        (place / "adapter_config.json").write_text("{}")
        (place / "adapter_model.safetensors").write_bytes(b"weights")
        return AdapterSource(str(place))

    def make_refused_source(self, folder: Path) -> ExportSource:
        """A prompt has no adapter."""
        return ExporterConformance.make_source(self, folder)

    def test_it_copies_the_adapter_and_names_its_base_model(self, tmp_path: Path) -> None:
        source = self.make_source(tmp_path)
        assert self.get_exporter()(source, tmp_path / "out") == ExportProof()
        copied = hash_folder(tmp_path / "out")
        base = json.loads((tmp_path / "out" / MODEL_FILE).read_text())
        assert base == {
            "name": "org/model",
            "revision": "abc",
            "files": {"model.safetensors": "11"},
        }
        assert {name: copied[name] for name in copied if name != MODEL_FILE} == hash_folder(
            Path(source.name)
        )


def test_an_unknown_format_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"(?s)export format 'gguf'.*bundle, adapter"):
        export("any", tmp_path / "out", format="gguf")


def test_what_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="target-exists"):
        export(str(tmp_path), tmp_path)
