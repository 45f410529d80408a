"""How looks and leaks are told, and what names a test set."""

from tunesmith.records import Leak, LeakKind, Leaks, Look, looks_told, name_of_test_set


def look(contender: str, run: str | None, at: str) -> Look:
    return Look(test="t", contender=contender, run=run, at=at, n=80, why="decide")


def leak(kind: LeakKind, line: int, train_line: int) -> Leak:
    return Leak(
        kind=kind, side="test", held_out=f"h{line}", held_out_line=line, train=f"t{train_line}", train_line=train_line
    )


def test_looks_are_told_in_one_sentence() -> None:
    looks = [
        look("a", "r1", "2026-11-26T10:00:00"),
        look("b", "r1", "2026-11-25T10:00:00"),
        look("a", None, "2026-12-01"),
    ]
    assert looks_told(looks) == "looked at 3 times by 2 contenders in 1 run since 2026-11-25"
    assert looks_told(looks[:1]) == "looked at 1 time by 1 contender in 1 run since 2026-11-26"
    assert looks_told([]) == ""


def test_a_test_set_is_named_by_its_examples_alone() -> None:
    assert name_of_test_set(["b", "a", "a"]) == name_of_test_set(("a", "b")) != name_of_test_set(["a"])


def test_leaks_are_counted_and_told_strongest_first() -> None:
    leaks = Leaks(found=(leak("near", 5, 88), *(leak("exact", line, line + 1) for line in (4, 9, 12, 20))))
    assert leaks.counts() == {"exact": 4, "near": 1}
    assert leaks.told() == (
        "exact 4 (lines 4, 9, 12 (1 more) like train lines 5, 10, 13); near 1 (line 5 like train line 88)"
    )
    assert Leaks.model_validate_json(leaks.model_dump_json()) == leaks
    stayed = leaks.model_copy(update={"leaked": (leaks.found[0].held_out,)})
    assert stayed.told(stays=True) == "near 1 (line 5 like train line 88)"
    assert stayed.told(stays=False).startswith("exact 4 (lines 4, 9, 12") and "near" not in stayed.told(stays=False)
