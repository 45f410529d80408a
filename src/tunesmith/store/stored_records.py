"""Records that only the store returns: a run with its folder, and an artifact."""

from tunesmith.records import Record, Run


class StoredRun(Record):
    """A run and the absolute path of its folder."""

    run: Run
    folder: str


class UnreadableRun(Record):
    """A run whose row this version cannot read: damaged, or of another version; `found` has the
    reason.
    """

    id: str
    created: str
    folder: str
    got: str


class Artifact(Record):
    """A file or folder that a run produced: `kind` is for example adapter, report or export; `path`
    is absolute.

    `sha256` is that of the file, or of the canonical list of a folder's files.
    """

    kind: str
    path: str
    sha256: str
    size_bytes: int
    run: str | None = None
