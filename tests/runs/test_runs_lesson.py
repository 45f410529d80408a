"""What a run needs to go on: its lesson, the lengths of its files, a folder without leftovers."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from tunesmith import failpoints
from tunesmith.data.prepare import compute_content_hash
from tunesmith.errors import RunError
from tunesmith.records import (
    ContenderRecord,
    ContenderSpec,
    Example,
    Message,
    MetricLine,
    PreparedSplit,
    TokenArrays,
)
from tunesmith.runs.run_folder import RunFolder, ValidationSample
from tunesmith.runs.training_data import (
    TrainingData,
    read_training_data,
    remove_training_data,
    write_training_data,
)

ANSWERS = ["a", "b ⟦", "\u2028", ""]


def some_arrays(
    weights: list[float], per_example: int = 1, wanted: list[bool] | None = None
) -> TokenArrays:
    tokens_N = np.arange(len(weights), dtype=np.int32)
    starts_S1 = np.array([0, 2, len(weights)], dtype=np.int64)
    columns_E = {} if wanted is None else {"is_desirable": np.array(wanted)}
    return TokenArrays(tokens_N, np.array(weights, np.float32), starts_S1, per_example, columns_E)


def prepared_of(arrays: TokenArrays) -> PreparedSplit:
    return PreparedSplit(
        split="train",
        examples=len(arrays),
        tokens_read=1,
        tokens_trained=1,
        longest_tokens=1,
        max_tokens=8,
        tokenizer_sha256="t",
        template_sha256="c",
        content_sha256=compute_content_hash(arrays),
    )


def example() -> Example:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    turns = (
        Message("user", "q"),
        Message("assistant", "", tool_calls=(call,)),
        Message("assistant", "a\n", weight=0.5),
    )
    return Example(
        7, turns, rejected=(Message("assistant", "b"),), tools=({"name": "f"},), group="g"
    ).with_system("s")


@pytest.mark.parametrize(
    "arrays",
    [
        some_arrays([0, 1, 0, 1, 1]),
        some_arrays([0, 0.1, 0, 2.5, 1]),
        some_arrays([0, 1, 0, 1, 1], per_example=2),
        some_arrays([0, 1, 0, 1, 1], wanted=[True, False]),
    ],
)
def test_a_lesson_comes_back(tmp_path: Path, arrays: TokenArrays) -> None:
    folder = RunFolder.create(tmp_path, "x")
    write_training_data(folder, TrainingData({"train": arrays}, [example()], ANSWERS))
    back = read_training_data(folder, {"train": prepared_of(arrays)})
    assert (back.validation, back.train_answers) == ([example()], ANSWERS)
    assert back.validation[0].id == example().id
    found = back.arrays["train"]
    assert compute_content_hash(found) == compute_content_hash(arrays)
    assert found.sequences_per_example == arrays.sequences_per_example and len(found) == len(arrays)
    assert found.weights_N.dtype == np.float32
    remove_training_data(folder)
    assert [path.name for path in folder.path.iterdir()] == [
        "checksums.json"
    ] and not folder.find_damage()


@given(st.lists(st.floats(0, 10, width=32), min_size=3, max_size=30))
def test_any_weights_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, weights: list[float]
) -> None:
    folder = RunFolder.create(tmp_path_factory.mktemp("any"), "x")
    arrays = some_arrays(weights)
    write_training_data(folder, TrainingData({"train": arrays}, [], ANSWERS))
    assert compute_content_hash(
        read_training_data(folder, {"train": prepared_of(arrays)}).arrays["train"]
    ) == compute_content_hash(arrays)


@pytest.mark.parametrize("name", ["rest.json", "train.safetensors"])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "flipped"])
def test_a_damaged_lesson_is_an_error_with_its_place(
    tmp_path: Path, name: str, damage: str
) -> None:
    folder = RunFolder.create(tmp_path, "x")
    arrays = some_arrays([0, 1, 0, 1, 1])
    write_training_data(folder, TrainingData({"train": arrays}, [], ANSWERS))
    path = folder.path / "lesson" / name
    if damage == "gone":
        path.unlink()
    elif damage == "flipped":
        failpoints.flip_bit(path, 1 if name == "rest.json" else path.stat().st_size - 1)
    else:
        path.write_bytes(path.read_bytes()[: -1 if damage == "cut" else 0])
    with pytest.raises(RunError) as caught:
        read_training_data(folder, {"train": prepared_of(arrays)})
    assert caught.value.code == "run/damaged" and "lesson" in caught.value.at


def test_lines_after_a_checkpoint_are_taken_away_and_those_before_are_not_missed(
    tmp_path: Path,
) -> None:
    folder = RunFolder.create(tmp_path, "x")
    assert {name: size for name, (size, _) in folder.record_journal().items()} == {
        "metrics.jsonl": 0,
        "samples.jsonl": 0,
    }
    folder.rewind(folder.record_journal())
    for step in (1, 2):
        folder.append_metric(MetricLine(kind="step", step=step, epoch=0, loss=1.0, seconds=1.0))
    folder.append_sample(
        ValidationSample(step=2, example="a", question="q", expected="e", answer="x")
    )
    journal = folder.record_journal()
    folder.append_metric(
        MetricLine(kind="skipped", step=3, epoch=0, loss=None, seconds=1.0, warning="w")
    )
    folder.append_sample(
        ValidationSample(step=3, example="a", question="q", expected="e", answer="x")
    )
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "st')  # a power cut
    folder.rewind(journal)
    assert folder.record_journal() == journal
    assert [line.step for line in folder.read_metrics().records] == [
        1,
        2,
    ] and folder.read_metrics().unfinished_line is None
    assert [sample.step for sample in folder.read_samples().records] == [2]
    (folder.path / "samples.jsonl").unlink()
    with pytest.raises(RunError) as caught:
        folder.rewind(journal)
    assert caught.value.code == "run/damaged" and "samples.jsonl" in caught.value.at
    folder.rewind({})
    assert folder.read_metrics().records == ()


def test_what_a_killed_process_left_half_written_is_swept(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    folder.write_answers(
        ContenderRecord(spec=ContenderSpec(name="a", kind="rag", description="")), []
    )
    folder.adapter.mkdir()
    for place in (folder.path, folder.adapter, folder.path / "answers"):
        (place / ".tmp-run.json-abc").write_text("half")
    folder.remove_temporaries()
    assert sorted(path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*")) == [
        "adapter",
        "answers",
        "answers/a.json",
        "answers/a.jsonl",
        "checksums.json",
    ]


def test_a_flipped_bit_in_lines_that_a_checkpoint_counts_on_is_found(tmp_path: Path) -> None:
    """The length alone was compared: the training ended well and its metrics could not be read
    afterwards."""
    folder = RunFolder.create(tmp_path, "x")
    for step in (1, 2):
        folder.append_metric(MetricLine(kind="step", step=step, epoch=0, loss=1.0, seconds=1.0))
    journal = json.loads(json.dumps(folder.record_journal()))  # as it comes back from a checkpoint
    folder.append_metric(MetricLine(kind="step", step=3, epoch=0, loss=1.0, seconds=1.0))
    path = folder.path / "metrics.jsonl"
    whole, (counted, _) = path.read_bytes(), journal["metrics.jsonl"]
    for offset in range(counted):
        failpoints.flip_bit(path, offset)
        with pytest.raises(RunError) as caught:
            folder.rewind(journal)
        assert caught.value.code == "run/damaged" and caught.value.at == str(path)
        path.write_bytes(whole)
    failpoints.flip_bit(path, counted + 3)
    folder.rewind(journal)
    assert [line.step for line in folder.read_metrics().records] == [1, 2]


def test_a_checkpoint_of_an_older_version_kept_lengths_only(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    for step in (1, 2):
        folder.append_metric(MetricLine(kind="step", step=step, epoch=0, loss=1.0, seconds=1.0))
    folder.rewind({"metrics.jsonl": (folder.path / "metrics.jsonl").stat().st_size // 2})
    assert [line.step for line in folder.read_metrics().records] == [1]


def test_damaged_prepared_json_is_named_itself(tmp_path: Path) -> None:
    """A flipped letter in the name of a split was told as a missing file of the lesson."""
    folder = RunFolder.create_hidden(tmp_path, "x")
    arrays = some_arrays([0, 1, 0, 1, 1])
    folder.write_prepared({"train": prepared_of(arrays)})
    write_training_data(folder, TrainingData({"train": arrays}, [example()], ANSWERS))
    folder.publish()
    path = folder.path / "prepared.json"
    failpoints.flip_bit(path, path.read_bytes().index(b"train"))
    with pytest.raises(RunError) as caught:
        folder.read_prepared()
    assert caught.value.at == str(path) and "SHA-256" in caught.value.got
    (folder.path / "checksums.json").unlink()  # of an older version
    with pytest.raises(RunError) as caught:
        read_training_data(folder, folder.read_prepared())
    assert caught.value.at == str(path) and "different splits" in caught.value.got


def test_no_room_for_the_lesson_is_the_machines_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors has an error of its own for a full disk, which ended with 70."""

    def refuse(*_: object, **__: object) -> None:
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr("safetensors.numpy.save_file", refuse)
    folder = RunFolder.create_hidden(tmp_path, "x")
    with pytest.raises(RunError) as caught:
        write_training_data(folder, TrainingData({"train": some_arrays([0, 1, 0])}, [], ANSWERS))
    assert (caught.value.code, caught.value.got) == ("run/unwritable", "No space left on device")
    folder.discard()
    assert list(tmp_path.iterdir()) == []
