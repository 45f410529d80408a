"""Checkpoints as files: whole or not there, damage found by name, the one before it used."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from tunesmith import failpoints
from tunesmith.engine import checkpoint as checkpoint_module
from tunesmith.engine.checkpoint import MANIFEST_FILE, Checkpoints, estimate_bytes
from tunesmith.errors import DiskFull, RunError, TrainingError
from tunesmith.temporary_files import make_temporary_path

Groups = dict[str, dict[str, Tensor]]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def some_groups(seed: int = 0) -> Groups:
    random = torch.Generator().manual_seed(seed)
    return {
        "weights": {
            "a": torch.randn(3, 5, generator=random),
            "b": torch.randn(4, generator=random).bfloat16(),
        },
        "optimizer": {
            "a.step": torch.tensor(7.0),
            "a.mean": torch.randn(3, 5, generator=random).double(),
        },
        "random": {"cpu": torch.randint(0, 255, (11,), dtype=torch.uint8, generator=random)},
    }


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder / "checkpoints")
    for step in steps:
        checkpoints.save(step, {"step": step, "loss": 0.1 + 0.2}, some_groups(step))
    return checkpoints


def equal(ours: Groups, theirs: Groups) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[group].keys() == theirs[group].keys()
        and all(
            a.dtype == theirs[group][name].dtype and torch.equal(a, theirs[group][name])
            for name, a in ours[group].items()
        )
        for group in ours
    )


def hidden(folder: Path) -> list[str]:
    return [path.name for path in (folder / "checkpoints").glob(".tmp-*")]


# --- what comes back
# --------------------------------------------------------------------------------------------------


def test_every_bit_comes_back(tmp_path: Path) -> None:
    newest = saved(tmp_path, 3).load_latest()
    assert newest is not None
    assert (newest.step, newest.state, newest.skipped_damaged) == (
        3,
        {"step": 3, "loss": 0.1 + 0.2},
        (),
    )
    assert equal(newest.groups, some_groups(3))


def test_others_can_read_the_tensors(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    tensors = load_file(tmp_path / "checkpoints/step-00000001/weights.safetensors")
    assert equal({"weights": tensors}, {"weights": some_groups(1)["weights"]})


_tensors = st.dictionaries(
    st.text("abc.", min_size=1, max_size=4),
    st.tuples(
        st.sampled_from(list(checkpoint_module.DTYPE_NAMES)),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(shapes=_tensors)
def test_any_dtype_and_shape_comes_back(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict
) -> None:  # type: ignore[type-arg]
    groups = {
        "group": {name: torch.ones(shape).to(dtype) for name, (dtype, shape) in shapes.items()}
    }
    checkpoints = Checkpoints(tmp_path_factory.mktemp("any"))
    checkpoints.save(1, {}, groups)
    newest = checkpoints.load_latest()
    assert newest is not None and equal(newest.groups, groups)


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2, 5, 9)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [
        "step-00000005",
        "step-00000009",
    ]
    assert checkpoints.load_latest().step == 9  # type: ignore[union-attr]
    checkpoints.clear()
    assert not checkpoints.folder.exists()


def test_none_is_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.load_latest() is None
    checkpoints.clear()
    checkpoints.remove_temporaries()


# --- damage
# --------------------------------------------------------------------------------------------------

FILES = ("weights.safetensors", "optimizer.safetensors", "random.safetensors", MANIFEST_FILE)


def offsets(path: Path) -> list[int]:
    size = path.stat().st_size
    return [0, 9, size // 2, size - 1]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", range(4))
def test_a_flipped_bit_is_found_by_name_and_the_one_before_is_used(
    tmp_path: Path, name: str, place: int
) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    path = checkpoints.folder / "step-00000002" / name
    failpoints.flip_bit(path, offsets(path)[place])
    newest = checkpoints.load_latest()
    assert newest is not None and newest.step == 1
    assert equal(newest.groups, some_groups(1))
    assert len(newest.skipped_damaged) == 1 and f"step-00000002/{name}" in newest.skipped_damaged[0]


def test_every_bit_of_the_manifest_counts(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    path = checkpoints.folder / "step-00000002" / MANIFEST_FILE
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            path.write_bytes(
                content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]
            )
            with pytest.raises(checkpoint_module.DamagedCheckpoint, match=MANIFEST_FILE):
                checkpoint_module._read_manifest(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


@pytest.mark.parametrize(
    "damage", [truncate, lengthen, empty, link, Path.unlink, lambda path: path.write_text("{}")]
)
@pytest.mark.parametrize("name", FILES)
def test_torn_longer_empty_and_missing_files_are_found(tmp_path: Path, name: str, damage) -> None:  # type: ignore[no-untyped-def]
    checkpoints = saved(tmp_path, 1, 2)
    damage(checkpoints.folder / "step-00000002" / name)
    newest = checkpoints.load_latest()
    assert newest is not None and newest.step == 1
    assert "step-00000002/" in newest.skipped_damaged[0]
    if damage is not link:
        assert name in newest.skipped_damaged[0]


@pytest.mark.parametrize("name", ["rng_state.pth", "optimizer.pt", ".metadata", "notes.txt"])
def test_a_file_that_does_not_belong_there_is_never_opened(tmp_path: Path, name: str) -> None:
    """A pickle in a checkpoint would run its code when read; nothing here reads one."""
    checkpoints = saved(tmp_path, 1, 2)
    canary = tmp_path / "canary"
    (checkpoints.folder / "step-00000002" / name).write_bytes(
        b"cos\nsystem\n(S'touch %s'\ntR." % bytes(canary)
    )
    newest = checkpoints.load_latest()
    assert newest is not None and newest.step == 1 and name in newest.skipped_damaged[0]
    assert not canary.exists()


def forged(folder: Path, change) -> None:  # type: ignore[no-untyped-def]
    """A manifest that vouches for itself and says something else."""
    manifest = checkpoint_module._read_manifest(folder / MANIFEST_FILE).model_dump(mode="json")
    change(manifest["files"])
    (folder / MANIFEST_FILE).write_bytes(
        checkpoint_module._Manifest.model_validate(manifest).to_signed_json()
    )


def test_other_shapes_and_names_outside_are_found(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    folder = checkpoints.folder / "step-00000002"

    def other_shape(files: dict) -> None:  # type: ignore[type-arg]
        files["weights.safetensors"]["tensors"]["a"] = ["F32", [5, 3]]

    forged(folder, other_shape)
    assert "contains other tensors" in checkpoints.load_latest().skipped_damaged[0]  # type: ignore[union-attr]
    forged(
        folder,
        lambda files: files.update({"../elsewhere.safetensors": files.pop("weights.safetensors")}),
    )
    assert "modified" in checkpoints.load_latest().skipped_damaged[0]  # type: ignore[union-attr]


def test_when_all_are_damaged_none_is_taken_for_a_beginning(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    for step in (1, 2):
        empty(checkpoints.folder / f"step-0000000{step}" / "weights.safetensors")
    with pytest.raises(RunError) as caught:
        checkpoints.load_latest()
    assert caught.value.code == "run/no-good-checkpoint"
    assert (
        "step-00000001/weights" in caught.value.got and "step-00000002/weights" in caught.value.got
    )


def test_the_next_save_takes_the_place_of_damaged_ones(tmp_path: Path) -> None:
    """Else retention would count them and drop the good one."""
    checkpoints = saved(tmp_path, 1, 2, 4)
    empty(checkpoints.folder / "step-00000004" / MANIFEST_FILE)
    assert checkpoints.load_latest().step == 2  # type: ignore[union-attr]
    checkpoints.save(3, {}, some_groups(3))
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [
        "step-00000002",
        "step-00000003",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which file a descriptor is")
def test_everything_is_on_the_disk_before_it_is_visible_and_visible_before_older_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process cannot show this, only a power cut can: so the order of the system's calls
    is looked at."""
    checkpoints = saved(tmp_path, 1, 2)
    calls: list[str] = []
    sync, rename = os.fsync, Path.rename

    def traced_sync(descriptor: int) -> None:
        calls.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        sync(descriptor)

    def traced_rename(path: Path, target: Path) -> Path:
        calls.append(f"{path.name} -> {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", traced_sync)
    monkeypatch.setattr(Path, "rename", traced_rename)
    checkpoints.save(3, {}, some_groups(3))
    owner = make_temporary_path(tmp_path / "x").name.partition("-x-")[0] + "-"
    assert [re.sub(f"{owner}(.*?)-[0-9a-f]{{8}}(?= |$)", r"hidden \1", call) for call in calls] == [
        "sync weights.safetensors",
        "sync optimizer.safetensors",
        "sync random.safetensors",
        f"sync {MANIFEST_FILE}",
        "sync hidden step-00000003",
        "hidden step-00000003 -> step-00000003",
        "sync checkpoints",
        "step-00000001 -> hidden dropped-step-00000001",
    ]


# --- what stands in the way
# -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["write:1", "write:700", "fsync:1", "fsync:4", "rename:1"])
@pytest.mark.parametrize("action", ["enospc", "raise"])
def test_a_save_that_fails_leaves_the_one_before_and_nothing_else(
    tmp_path: Path, point: str, action: str
) -> None:
    checkpoints = saved(tmp_path, 1)
    failpoints.arm(f"checkpoint.{point}:{action}")
    with pytest.raises(DiskFull if action == "enospc" else failpoints.InjectedError) as caught:
        checkpoints.save(2, {}, some_groups(2))
    if isinstance(caught.value, DiskFull):
        assert (caught.value.code, caught.value.path) == (
            "training/disk-full",
            str(checkpoints.folder),
        )
        assert caught.value.required_bytes > 0 and caught.value.free_bytes > 0
    assert checkpoints.load_latest().step == 1  # type: ignore[union-attr]
    assert hidden(tmp_path) == []
    checkpoints.save(2, {}, some_groups(2))
    assert checkpoints.load_latest().step == 2  # type: ignore[union-attr]


@pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="mounting needs root on Linux"
)
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(tmp_path), b"tmpfs", 0, b"size=4m"):
        pytest.skip("this machine does not let root mount")
    try:
        checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
        big = {
            "weights": {"a": torch.randn(300_000)}
        }  # 1.2 MB: two are kept, a third one passes through
        for step in (1, 2, 3):
            checkpoints.save(step, {}, big)
        (tmp_path / "something").write_bytes(bytes(1 << 20))
        with pytest.raises(DiskFull) as caught:
            checkpoints.save(4, {}, big)
        assert caught.value.required_bytes >= 1_200_000 > caught.value.free_bytes
        assert [path.name for path in sorted(checkpoints.folder.iterdir())] == [
            "step-00000002",
            "step-00000003",
        ]
        assert checkpoints.load_latest().step == 3  # type: ignore[union-attr]
        (tmp_path / "something").unlink()
        checkpoints.save(4, {}, big)
        assert checkpoints.load_latest().step == 4  # type: ignore[union-attr]
        with pytest.raises(DiskFull, match="not enough disk space"):
            checkpoints.check_disk_space(5 << 20)
        checkpoints.check_disk_space(1 << 20)
    finally:
        libc.umount(bytes(tmp_path))


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError) as caught:
        Checkpoints(tmp_path / "file" / "checkpoints").save(1, {}, some_groups())
    assert caught.value.code == "training/checkpoint-unwritable"


def test_room_is_asked_for_before_the_first_step(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    checkpoints.check_disk_space(estimate_bytes(some_groups()))
    too_much = shutil.disk_usage(tmp_path).free // 3 + (1 << 30)
    with pytest.raises(DiskFull) as caught:
        checkpoints.check_disk_space(too_much)
    assert caught.value.required_bytes == 3 * too_much and "--out" in caught.value.hint


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_writes_stays(
    tmp_path: Path,
) -> None:
    checkpoints = saved(tmp_path, 1)
    code = (
        "import sys; from pathlib import Path; from tunesmith.temporary_files import"
        " make_temporary_path as t; "
    )
    code += "p = t(Path(sys.argv[1])); p.mkdir(); print(p.name, flush=True); input()"
    command = [sys.executable, "-c", code, str(checkpoints.folder / "step-00000007")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as alive:
        assert alive.stdout is not None
        name = alive.stdout.readline().strip()
        checkpoints.remove_temporaries()
        assert hidden(tmp_path) == [name]
        alive.kill()
    checkpoints.remove_temporaries()
    assert hidden(tmp_path) == []
    assert checkpoints.load_latest().step == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["step-00000000", "step-00000009"])
def test_a_planted_link_in_place_of_a_checkpoint_is_named_and_its_target_is_left_alone(
    tmp_path: Path, name: str
) -> None:
    """`rmtree` refuses a link, but the files behind it were deleted one by one before."""
    checkpoints = saved(tmp_path, 1, 2)
    (victim := tmp_path / "victim").mkdir()
    (victim / "precious").write_text("x")
    (checkpoints.folder / name).symlink_to(victim)
    newest = checkpoints.load_latest()
    assert newest is not None and newest.step == 2
    assert newest.skipped_damaged == (f"{name} is a symbolic link, not a folder",)
    for step in (3, 4, 5):
        checkpoints.save(step, {}, some_groups(step))
    checkpoints.clear()
    assert (victim / "precious").read_text() == "x"
    assert [path.name for path in checkpoints.folder.iterdir()] == [name]


@pytest.mark.parametrize("name", [MANIFEST_FILE, "weights.safetensors"])
def test_a_pipe_in_place_of_a_checkpoints_file_is_named_and_not_waited_for(
    tmp_path: Path, name: str
) -> None:
    checkpoints = saved(tmp_path, 1, 2)
    (path := checkpoints.folder / "step-00000002" / name).unlink()
    os.mkfifo(path)
    newest = checkpoints.load_latest()
    assert newest is not None and newest.step == 1
    assert newest.skipped_damaged == (f"step-00000002/{name} is a pipe",)


def test_a_bit_that_the_disk_turns_over_while_writing_is_found(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    failpoints.arm("checkpoint.file:2:flip")
    checkpoints.save(2, {}, some_groups(2))
    newest = checkpoints.load_latest()
    assert (
        newest is not None
        and newest.step == 1
        and "optimizer.safetensors" in newest.skipped_damaged[0]
    )


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    document = json.loads((checkpoints.folder / "step-00000001" / MANIFEST_FILE).read_text())
    assert document["state"] == {"step": 1, "loss": 0.1 + 0.2}
    assert document["files"]["weights.safetensors"]["tensors"]["a"] == ["F32", [3, 5]]
