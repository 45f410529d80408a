"""ARCHITECTURE.md is a map of what is there."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROOMS = re.findall(r"^\| `([\w/.]+)` \| [^|]+\| ([^|]*) \|", MAP, re.MULTILINE)


@pytest.mark.parametrize(("room", "doors"), ROOMS)
def test_a_room_has_its_doors(room: str, doors: str) -> None:
    place = ROOT / "src/tunesmith" / room
    assert place.exists()
    files = [place] if place.is_file() else list(place.rglob("*.py"))
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for door in re.findall(r"`(\w+)`", doors):
        assert re.search(rf"^(?:def|class) {door}\b", source, re.MULTILINE), door


def test_every_room_is_on_the_map() -> None:
    rooms = {
        path.name
        for path in (ROOT / "src/tunesmith").iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert rooms - {room.split("/")[0] for room, _ in ROOMS} == {"cli", "records"}


def test_the_levels_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    drawn = re.search(r"## Levels\n(?:[^ \n][^\n]*\n)+\n((?:    [^\n]*\n)+)", MAP)
    assert drawn is not None
    levels = [re.split(r"\s{2,}", line.strip())[0] for line in drawn[1].splitlines()]
    assert levels == contracts[0]["layers"]
