"""A run's folder into which somebody put files of another model: refused, never loaded, never
passed over."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.atomic_io import compute_sha256
from tunesmith.errors import ModelError
from tunesmith.models.resolve import resolve_model
from tunesmith.records import Machine, ModelIdentity, Run

Make = Callable[..., Path]
Plant = Callable[[Path, Path], object]


def as_run(folder: Path, tuned: Path) -> Path:
    """The head of a run that left `tuned` in its folder."""
    files = {path.name: compute_sha256(path) for path in tuned.iterdir()}
    run = Run(
        id="20261130-000000-x-000000",
        created="2026-11-30T00:00:00+00:00",
        status="finished",
        recipe="r",
        dataset="d",
        split="s",
        prepared={},
        seeds={},
        versions={},
        adapter_files=files,
        model=ModelIdentity(name="m", source="folder", revision=None, folder="/m", files={}),
        machine=Machine(platform="p", processor="c", cores=2, memory_bytes=1, accelerator=None),
    )
    run.write(folder / "run.json")
    return folder


@pytest.fixture
def lora_run(make_folder: Make, make_adapter: Make, tmp_path: Path) -> Path:
    adapter = make_adapter(str(make_folder()), "run/adapter")
    return as_run(tmp_path / "run", adapter)


@pytest.fixture
def full_run(make_folder: Make, tmp_path: Path) -> Path:
    return as_run(tmp_path / "full", make_folder("full/model"))


def copy_to(place: str, *names: str) -> Plant:
    def plant(run: Path, other: Path) -> None:
        (run / place).mkdir(exist_ok=True)
        for name in names:
            shutil.copy(other / name, run / place / name)

    return plant


def write(place: str) -> Plant:
    return lambda run, other: (run / place).write_text("raise SystemExit(9)")


ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
INTO_LORA: dict[str, tuple[Plant, str]] = {
    "an adapter at the top": (
        copy_to("", *ADAPTER),
        "adapter_config.json, adapter_model.safetensors",
    ),
    "a link at the top": (
        lambda run, other: (run / "adapter_config.json").symlink_to(other / "adapter_config.json"),
        "adapter_config.json",
    ),
    "a model beside the adapter": (
        copy_to("model", *ADAPTER),
        "model/adapter_config.json, model/adapter_model.safetensors",
    ),
    "weights beside the adapter's": (
        lambda run, other: shutil.copy(other / ADAPTER[1], run / "adapter" / "more.safetensors"),
        "adapter/more.safetensors",
    ),
    "a pickle": (write("adapter/adapter_model.bin"), "adapter/adapter_model.bin"),
    "a program": (write("adapter/modeling_x.py"), "adapter/modeling_x.py"),
}
INTO_FULL: dict[str, tuple[Plant, str]] = {
    "an adapter at the top": (
        copy_to("", *ADAPTER),
        "adapter_config.json, adapter_model.safetensors",
    ),
    "an adapter in the model": (
        copy_to("model", *ADAPTER),
        "model/adapter_config.json, model/adapter_model.safetensors",
    ),
    "an adapter beside the model": (
        copy_to("adapter", *ADAPTER),
        "adapter/adapter_config.json, adapter/adapter_model.safetensors",
    ),
    "an index of weights": (
        write("model/model.safetensors.index.json"),
        "model/model.safetensors.index.json",
    ),
    "a pickle": (write("model/pytorch_model.bin"), "model/pytorch_model.bin"),
    "a program": (write("model/modeling_llama.py"), "model/modeling_llama.py"),
}


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder))
    return caught.value


@pytest.mark.parametrize("kind", INTO_LORA)
def test_what_is_planted_into_a_run_with_an_adapter_is_refused(
    lora_run: Path, make_adapter: Make, kind: str
) -> None:
    resolve_model(str(lora_run))
    plant, found = INTO_LORA[kind]
    plant(lora_run, make_adapter("somebody/else", "other"))
    error = refused(lora_run)
    assert (error.code, error.at, error.got) == ("model/planted", str(lora_run), found)
    assert refused(lora_run / "adapter").got == found


@pytest.mark.parametrize("kind", INTO_FULL)
def test_what_is_planted_into_a_run_with_a_model_is_refused(
    full_run: Path, make_adapter: Make, kind: str
) -> None:
    resolve_model(str(full_run))
    plant, found = INTO_FULL[kind]
    plant(full_run, make_adapter("somebody/else", "other"))
    error = refused(full_run)
    assert (error.code, error.at, error.got) == ("model/planted", str(full_run), found)
    assert refused(full_run / "model").got == found


def test_a_scorer_and_notes_in_a_runs_folder_are_no_model(lora_run: Path) -> None:
    (lora_run / "own.py").write_text("def fit(answer, reference): return 1.0")
    (lora_run / "adapter" / "README.md").write_text("notes")
    (lora_run / "notes.json").write_text(json.dumps({}))
    assert resolve_model(str(lora_run)).adapter == str(lora_run / "adapter")
