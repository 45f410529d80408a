"""Resolve paths in another tool's file, restricted to the folder of that file."""

from pathlib import Path


def find_file_below(folder: Path, name: object) -> Path | None:
    """The file with this name in the folder or below it; None if absent, outside or not a name."""
    if not isinstance(name, str) or "\0" in name or "\n" in name:
        return None
    try:
        # Resolved first, so that neither ".." nor a link leads out of the folder.
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except OSError:  # e.g. longer than any file name may be
        return None
