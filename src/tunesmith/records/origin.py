"""Where an example stands: its file, and what the numbers in that file count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.errors import truncate_list

CountedIn = Literal["lines", "rows"]
"""What the numbers of a file count: its lines, as an editor shows them (JSON Lines, CSV), or its rows (all else)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that an example was read from. All examples of a file share one."""

    file: str
    counted_in: CountedIn = "lines"


Place = tuple[Origin | None, int]
"""An origin, None where an example was read from no file, and the number of the line or row there."""


def name_places(places: Sequence[Place], limit: int = 3) -> str:
    """`a.jsonl lines 3, 9; b.parquet row 4 (5 more)`: the first few places, together where they share a file.

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
