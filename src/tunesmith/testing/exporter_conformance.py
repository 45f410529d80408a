"""What every export format promises, as tests. Subclass it, implement `get_exporter`, let pytest
collect the class:

    class TestMyFormat(ExporterConformance):
        def get_exporter(self): return EXPORTERS.load("my-format")
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.atomic_io import hash_folder
from tunesmith.errors import InputError
from tunesmith.export.exporter import ExportProof, ExportSource
from tunesmith.records import InferenceConfig, Message, Recipe, RemoteRecipe
from tunesmith.runs.run_folder import RunFolder


class ExporterConformance:
    """The contract: a new folder of plain files that is the same each time, nothing else changed, a
    proof returned; what it cannot hold is refused and leaves nothing.
    """

    def get_exporter(self) -> Callable[[ExportSource, Path], ExportProof]:
        raise NotImplementedError

    def make_source(self, folder: Path) -> ExportSource:
        """A contender that the format can hold: here a prompt with an example, for a service."""
        remote = RemoteRecipe(name="service", model="m", base_url="https://api.example.com/v1")
        shot = (Message("user", "What is a plum?"), Message("assistant", "fruit"))
        config = InferenceConfig(
            contender="service+few-shot",
            kind="few-shot",
            model="remote",
            remote=remote,
            system="Say what it is.",
            shots=(shot,),
            max_new_tokens=8,
        )
        run = RunFolder.create(folder, "run")
        run.write_recipe(Recipe())
        return ExportSource(str(run.path), run, config)

    def make_refused_source(self, folder: Path) -> ExportSource | None:
        """A contender that the format cannot hold; None if it holds every one."""
        return None

    def test_it_writes_a_folder_of_plain_files_and_says_how_they_were_proved(
        self, tmp_path: Path
    ) -> None:
        proof = self.get_exporter()(self.make_source(tmp_path), tmp_path / "out")
        assert isinstance(proof, ExportProof)
        written = list((tmp_path / "out").rglob("*"))
        assert [path for path in written if path.is_file()]
        assert not [path for path in written if path.is_symlink()]

    def test_the_same_is_written_each_time_and_the_source_stays_as_it_is(
        self, tmp_path: Path
    ) -> None:
        source = self.make_source(tmp_path)
        before = hash_folder(source.run.path) if source.run else {}
        for name in ("first", "second"):
            self.get_exporter()(source, tmp_path / name)
        assert hash_folder(tmp_path / "first") == hash_folder(tmp_path / "second")
        assert (hash_folder(source.run.path) if source.run else {}) == before

    def test_what_it_cannot_hold_is_refused_and_leaves_nothing(self, tmp_path: Path) -> None:
        source = self.make_refused_source(tmp_path)
        if source is None:
            return
        with pytest.raises(InputError):
            self.get_exporter()(source, tmp_path / "out")
        assert not (tmp_path / "out").exists()
