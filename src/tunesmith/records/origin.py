"""The place of an example: its file, and what the numbers in that file count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.errors import truncate_list

CountedIn = Literal["lines", "rows"]
"""What the numbers of a file count: its lines, as an editor shows them (JSON Lines, CSV), or its
rows (all others).
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that an example was read from; one object for all examples of a file."""

    file: str
    counted_in: CountedIn = "lines"


Place = tuple[Origin | None, int]
"""An origin, None if an example was not read from a file, and the number of the line or row there.
"""


def name_places(places: Sequence[Place], limit: int = 3) -> str:
    """For example `a.jsonl lines 3, 9; b.parquet row 4 (5 more)`: the first few places, grouped by
    file.

    Without an origin the lines alone: `lines 3, 9`.
    """
    some: dict[Origin | None, list[int]] = {}
    for origin, line in places[:limit]:
        some.setdefault(origin, []).append(line)
    more = f" ({len(places) - limit:,} more)" if len(places) > limit else ""
    return "; ".join(_format_file_lines(origin, lines) for origin, lines in some.items()) + more


def _format_file_lines(origin: Origin | None, lines: Sequence[int]) -> str:
    words = origin.counted_in if origin else "lines"
    word = words.removesuffix("s") if len(lines) == 1 else words
    return f"{origin.file if origin else ''} {word} {truncate_list(lines, len(lines))}".lstrip()
