"""An access to a test set: the more often it is used, the less a good score on it means."""

from collections.abc import Iterable

from tunesmith.records.record import Record, compute_fingerprint


class TestSetAccess(Record):
    """One contender's answers were scored on a test set.

    `test_set` is `fingerprint_test_set` of all its ids, even if only `n` of them were used; `run`
    is None outside of one; `accessed_at` is an ISO time, UTC; `purpose` is a command such as decide
    or evaluate.
    """

    test_set: str
    contender: str
    run: str | None
    accessed_at: str
    n: int
    purpose: str


def fingerprint_test_set(ids: Iterable[str]) -> str:
    """The identity of a test set: the fingerprint of its sorted ids, whatever file they came
    from.
    """
    return compute_fingerprint(sorted(set(ids)))


def format_access_log(looks: list[TestSetAccess]) -> str:
    """For example `looked at 12 times by 4 contenders in 3 runs since 2026-11-26`; empty without
    accesses.
    """
    if not looks:
        return ""
    contenders, runs = (
        len({look.contender for look in looks}),
        len({look.run for look in looks if look.run}),
    )
    return (
        f"used {_pluralize(len(looks), 'time')} by {_pluralize(contenders, 'contender')} in "
        f"{_pluralize(runs, 'run')} since {min(look.accessed_at for look in looks)[:10]}"
    )


def _pluralize(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"
