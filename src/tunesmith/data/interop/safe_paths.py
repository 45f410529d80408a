"""Files that another tool's file points to: read only from its own folder."""

from pathlib import Path


def find_file_below(folder: Path, name: object) -> Path | None:
    """The file of this name in the folder or below; None when there is none, also for a text that can be no name."""
    if not isinstance(name, str) or "\0" in name or "\n" in name:
        return None
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except OSError:  # longer than any file's name
        return None
