"""How looks and leaks are told, and what names a test set."""

from tunesmith.records import (
    ContaminatedExample,
    ContaminationKind,
    ContaminationReport,
    TestSetAccess,
    fingerprint_test_set,
    format_access_log,
)


def look(contender: str, run: str | None, at: str) -> TestSetAccess:
    return TestSetAccess(
        test_set="t", contender=contender, run=run, accessed_at=at, n=80, purpose="decide"
    )


def leak(kind: ContaminationKind, line: int, train_line: int) -> ContaminatedExample:
    return ContaminatedExample(
        kind=kind,
        split="test",
        held_out=f"h{line}",
        held_out_line=line,
        train=f"t{train_line}",
        train_line=train_line,
    )


def test_looks_are_told_in_one_sentence() -> None:
    looks = [
        look("a", "r1", "2026-11-26T10:00:00"),
        look("b", "r1", "2026-11-25T10:00:00"),
        look("a", None, "2026-12-01"),
    ]
    assert format_access_log(looks) == "used 3 times by 2 contenders in 1 run since 2026-11-25"
    assert format_access_log(looks[:1]) == "used 1 time by 1 contender in 1 run since 2026-11-26"
    assert format_access_log([]) == ""


def test_a_test_set_is_named_by_its_examples_alone() -> None:
    assert (
        fingerprint_test_set(["b", "a", "a"])
        == fingerprint_test_set(("a", "b"))
        != fingerprint_test_set(["a"])
    )


def test_leaks_are_counted_and_told_strongest_first() -> None:
    leaks = ContaminationReport(
        examples=(leak("near", 5, 88), *(leak("exact", line, line + 1) for line in (4, 9, 12, 20)))
    )
    assert leaks.count_by_kind() == {"exact": 4, "near": 1}
    assert (
        leaks.format_summary()
        == "exact 4 (lines 4, 9, 12 (1 more) like train lines 5, 10, 13); near 1 (line 5 like train"
        " line 88)"
    )
    assert ContaminationReport.model_validate_json(leaks.model_dump_json()) == leaks
    stayed = leaks.model_copy(update={"contaminated_test_ids": (leaks.examples[0].held_out,)})
    assert stayed.format_summary(stays_in_training=True) == "near 1 (line 5 like train line 88)"
    assert stayed.format_summary(stays_in_training=False).startswith(
        "exact 4 (lines 4, 9, 12"
    ) and "near" not in stayed.format_summary(stays_in_training=False)
