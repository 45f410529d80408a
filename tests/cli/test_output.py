"""What is printed is what was there: no markup of any library is read in it."""

import pytest

from tunesmith.cli.console import print_table

CELLS = [
    "we\\[/b]ird",
    "[/b]",
    "\\[bold]",
    "[red]x[/red]",
    "\\",
    "a[link=x]b",
    "x\\[/]",
    "[[[",
    ":smile:",
]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_with_brackets_and_backslashes_is_printed_as_it_is(
    cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One such model path ended `tunesmith runs` with 70 on that store for good."""
    print_table(("model", "n"), [(cell, 3)], right=(1,))
    assert capsys.readouterr().out.splitlines()[1].split() == [cell, "3"]
