"""What the benchmarks count and keep; the runs themselves are `make bench`."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import results, settings
from benchmarks.arrays import Arrays
from benchmarks.flops import ForestSize, Shape, forest_size
from benchmarks.results import Row, paired
from benchmarks.search import speed_of

sequences = st.lists(
    st.lists(st.integers(0, 2), min_size=2, max_size=6).flatmap(
        lambda tokens: st.tuples(st.just(tokens), st.integers(1, len(tokens) - 1))
    ),
    min_size=1,
    max_size=6,
)


@given(sequences)
def test_the_forest_is_counted_as_the_set_of_all_prefixes(
    given_sequences: list[tuple[list[int], int]],
) -> None:
    pairs = [(tokens, [0] * cut + [1] * (len(tokens) - cut)) for tokens, cut in given_sequences]
    inner = {tuple(tokens[: t + 1]) for tokens, _ in pairs for t in range(len(tokens) - 1)}
    predicted = {
        tuple(tokens[: t + 1]) for tokens, mask in pairs for t in range(len(tokens)) if mask[t]
    }
    counted = forest_size(pairs)
    assert (counted.tokens, counted.pairs) == (len(inner), sum(map(len, inner)))
    assert counted.predicted == len(predicted)


def test_operations_of_a_step_and_of_answers_by_hand(tmp_path: Path) -> None:
    config = {
        "hidden_size": 4,
        "intermediate_size": 6,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_hidden_layers": 3,
        "vocab_size": 10,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights, ends = 16 + 8 + 8 + 16 + 3 * 24, 8 + 6 + 6 + 8 + 3 * 10
    expected = 3 * (5 * (4 * weights + 6 * 16 * ends) + 12 * 4 * 15) + 4 * 40 * 2
    forest = ForestSize(tokens=5, pairs=15, predicted=2)
    assert Shape.of(tmp_path).step(forest) == expected
    assert Shape.of(tmp_path).answers(forest) == 3 * (5 * 2 * weights + 4 * 4 * 15) + 2 * 40 * 2


def test_arrays_come_back_from_their_file_and_their_digest_does_not_depend_on_order(
    tmp_path: Path,
) -> None:
    arrays = Arrays.of([([1, 2, 3], [0, 0, 1]), ([4, 5], [0, 1]), ([1, 2, 9], [0, 1, 1])])
    arrays.write(tmp_path / "a.npz")
    assert Arrays.read(tmp_path / "a.npz") == arrays
    assert arrays.in_order([2, 0, 1], 1).digest() == arrays.digest()
    other_mask = Arrays.of([([1, 2, 3], [0, 1, 1]), *arrays.sequences[1:]])
    assert other_mask.digest() != arrays.digest()
    assert np.array_equal(arrays.joined()[2], [0, 3, 5, 8])


def test_one_workload_replaces_only_its_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LATEST", tmp_path / "latest.json")
    results.keep([Row("a", "x", 1.0, 2.0, "p", 0.5, 3), Row("b", "x", 1.0, None, "p", None, 1)])
    results.keep([Row("a", "y", 4.0, 2.0, "p", 2.0, 3)])
    rows = json.loads((tmp_path / "latest.json").read_text())
    assert [(row["workload"], row["measure"]) for row in rows] == [("b", "x"), ("a", "y")]
    assert results.last_row("a", "y").peer == 2.0


def test_the_ratio_is_the_median_of_the_ratios_not_the_ratio_of_the_medians() -> None:
    row = paired("a", "x", [10.0, 2.0, 9.0], [1.0, 1.0, 3.0], "p")
    assert (row.ratio, row.tunesmith, row.peer) == (3.0, 9.0, 1.0)


def test_speed_leaves_out_the_warm_up_and_counts_its_part_of_the_reference() -> None:
    report = {"seconds": [100.0, 2.0, 2.0], "reference_seconds": 3.0}
    assert speed_of(report, examples=6) == pytest.approx(12 / (4 + 3 * 2 / 3))


def test_best_settings_are_kept_with_all_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "BEST", tmp_path / "best.toml")
    candidates = [{"precision": "bf16", "liger": False, "micro_batch": size} for size in (1, 2)]
    settings.keep_best("other", candidates[:1], [1.0], [0], "seconds", has_bf16=True)
    settings.keep_best(
        "gsm8k", candidates, [1.0, 2.5], [1 << 20, 2 << 20], "cpu_seconds", has_bf16=True
    )
    assert settings.best_settings("gsm8k", has_bf16=True) == candidates[1]
    assert settings.knows("other", has_bf16=True) and not settings.knows("dpo-gsm8k", has_bf16=True)
    assert not settings.knows("gsm8k", has_bf16=False), (
        "another kind of machine has settings of its own"
    )
    assert "examples_per_cpu_second = 2.5, peak_mib = 2" in (tmp_path / "best.toml").read_text()


def test_what_examples_took_at_once_is_told_for_the_best_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "BEST", tmp_path / "best.toml")
    kinds = [("float32", 1, 0), ("bf16", 1, 0), ("bf16", 2, 0), ("bf16", 1, 2)]
    candidates = [
        {"precision": precision, "micro_batch": size, "pack": pack, "reference_first": False}
        for precision, size, pack in kinds
    ]
    peaks = [9 << 20, 4 << 20, 6 << 20, 7 << 20]
    settings.keep_best("gsm8k", candidates, [1.0, 2.0, 1.5, 1.7], peaks, "seconds", has_bf16=True)
    assert settings.peaks_by_examples("gsm8k", has_bf16=True) == {1: 4 << 20, 2: 6 << 20}
