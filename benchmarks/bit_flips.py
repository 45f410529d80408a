"""Flip one bit in each file of a finished decision, at several places; count who names the file.

    python benchmarks/bit_flips.py                 5 places of each file
    python benchmarks/bit_flips.py --places 20

`show` must name each file. `decide RUN` and `compare` must refuse, whatever the file (but the one
that users fill in), as must `chat` and `export` where they read it (weights, run.json, recipe.yaml,
what the winner is made of). Prints one JSON document; the exit code says whether all were named.
The model is tiny and random; nothing is fetched.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tiny_world import World, visible_in

from tunesmith.errors import InputError
from tunesmith.failpoints import flip_bit
from tunesmith.runs.local_inventory import resolve_run_or_name, show_run
from tunesmith.runs.run_folder import LABELING_FILE, RunFolder
from tunesmith.workflow.compare import compare
from tunesmith.workflow.redecide import redecide

EMPTY_OR_OURS = ("lock",)
"""The lock has no content once its owner is done."""


def files_of(folder: Path) -> list[Path]:
    """Every file of a run, the lock left out."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name not in EMPTY_OR_OURS
    )


def offsets_of(path: Path, places: int, dice: random.Random) -> list[int]:
    """The first byte, the last one, and some between."""
    size = path.stat().st_size
    between = {dice.randrange(size) for _ in range(max(0, places - 2))} if size else set()
    return sorted({0, size - 1} | between) if size else []


def named_by_show(folder: Path, name: str) -> bool:
    """Whether `show` names the file, or cannot show the run because of it and says so."""
    try:
        return any(one.startswith(f"{name} ") for one in show_run(str(folder))["damaged"])
    except InputError as error:
        return name in str(error)


def named_by(action: Callable[[], object], name: str) -> bool:
    """Whether an action is refused with the file's name."""
    try:
        action()
    except InputError as error:
        return name in str(error)
    return False


def flip_all(
    folder: Path, other: Path, places: int, seed: int = 0
) -> tuple[Counter[str], dict[str, list[str]]]:
    """(how often each way named the file, of how many flips; which files each way passed over)"""
    dice, counts, silent = random.Random(seed), Counter[str](), dict[str, set[str]]()
    for path in files_of(folder):
        name, whole = path.relative_to(folder).as_posix(), path.read_bytes()
        for offset in offsets_of(path, places, dice):
            flip_bit(path, offset)
            ways = {
                "show": named_by_show(folder, name),
                "decide": named_by(lambda: redecide(RunFolder.open(folder)), name),
                "compare": named_by(lambda: compare(str(folder), str(other)), name),
                "chat and export, before the model": named_by(
                    lambda: resolve_run_or_name(str(folder)), name
                ),
            }
            path.write_bytes(whole)
            counts["flips"] += 1
            for way, is_named in ways.items():
                counts[way] += is_named
                if not is_named:
                    silent.setdefault(way, set()).add(name)
    return counts, {way: sorted(names) for way, names in silent.items()}


def main() -> int:
    """Flip and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--places", type=int, default=5, help="of each file")
    places, began = parser.parse_args().places, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name).resolve())
        ended = world.call(world.command("decide", world.place / "runs"))
        assert ended.code == 0, ended.text
        (folder,) = visible_in(world.place / "runs")
        shutil.copytree(folder, other := world.place / "other" / folder.name)
        os.chdir(world.place)
        files = len(files_of(folder))
        counts, silent = flip_all(folder, other, places)
        assert not RunFolder.open(folder).find_damage(), "every bit was put back"
    silent.pop("chat and export, before the model", None)  # they read few files before the model
    seconds = round(time.monotonic() - began, 1)
    print(
        json.dumps({"files": files, **counts, "passed over": silent, "seconds": seconds}, indent=2)
    )
    return int(
        bool(silent.get("show"))
        or any(set(silent.get(way, ())) - {LABELING_FILE} for way in ("decide", "compare"))
    )


if __name__ == "__main__":
    sys.exit(main())
