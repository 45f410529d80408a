"""Kill every command at random moments, then ask the program to go on: the end is that of a command
never killed.

    python benchmarks/kill_random.py                       60 kills of each command at random times
    python benchmarks/kill_random.py --points  60 at random failpoints (each rename, save, step ...)
    python benchmarks/kill_random.py --kills 20 --seed 7 --commands train,export
        a part, with the same moments

train, decide, evaluate, resume: the run's folder is not there, or `tunesmith resume` brings it to
the same adapter, answers, choices, metrics and verdict, bit by bit. export: the target is whole or
not there, and the command can be given again. In each case nothing temporary is left behind by the
time the next command is done, and no process of the killed one goes on. Prints one table, how many
kills ended how; the exit code says whether all of it held. A moment is drawn over the time that the
command takes without a kill, and each command has dice of its own. The model is tiny and random;
nothing is fetched.
"""

import argparse
import ctypes
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from tiny_world import Ended, World, leftovers_in, outcome_of, points_of, visible_in

COMMANDS = ("train", "decide", "resume", "export", "evaluate")
ENDS = ("absent", "resumed", "finished", "whole")
"""Nothing was there; `resume` brought it to its end; it had ended; the target was complete."""
ORPHAN_SECONDS = 5.0
SET_CHILD_SUBREAPER = 36
"""Linux, prctl(2): processes that lose their parent become ours, so that they are found."""
CUT_AT = {"train": "train.step:3", "decide": "train.step:2"}
"""Where the run that `resume` goes on with was cut short before."""


class Sweep:
    """Clean outcomes first, then one kill after the other."""

    def __init__(self, world: World, seed: int, at_points: bool) -> None:
        self.world, self.at_points = world, at_points
        self.dice = {command: random.Random(f"{seed} {command}") for command in COMMANDS}
        self.clean: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self.points: dict[str, list[str]] = {}
        self.ends: Counter[str] = Counter()
        self.runs: dict[str, Path] = {}

    def prepare(self, command: str) -> None:
        """Run the command once without a fault: its outcome, how long it takes, which points it
        passes."""
        if command in ("resume", "export") and "train" not in self.runs:
            self.prepare("train")
        if command == "resume":
            for kind in ("train", "decide"):
                cut = self.world.place / f"cut-{kind}"
                ended = self.world.call(
                    self.world.command(kind, cut), fault=f"{CUT_AT[kind]}:kill9"
                )
                assert ended.code == -signal.SIGKILL, ended.text
        out = self.world.place / f"clean-{command}"
        ended, folder = self._whole(command, out)
        assert ended.code == 0, ended.text
        self.clean[command], self.seconds[command] = outcome_of(folder), ended.seconds
        self.runs[command] = folder
        if self.at_points:
            words = self._words(command, self.world.place / f"points-{command}")
            self.points[command] = points_of(self.world, words)

    def _whole(self, command: str, out: Path) -> tuple[Ended, Path]:
        ended = self.world.call(self._words(command, out))
        shown = visible_in(out)
        return ended, shown[0] if shown else out

    def _words(self, command: str, out: Path, kind: str = "train") -> list[str]:
        """The words of a command; `resume` gets a copy of a run that was cut short."""
        if command != "resume":
            return self.world.command(command, out, self.runs.get("train"))
        (cut,) = visible_in(self.world.place / f"cut-{kind}")
        shutil.copytree(cut, out / cut.name)
        return self.world.command(command, out, out / cut.name)

    def problem_of(self, command: str, number: int) -> str | None:
        """Kill, look, go on, compare; what is wrong in one sentence."""
        out = self.world.place / f"{command}-{number}"
        words = self._words(command, out)
        if self.at_points:
            fault = f"{self.dice[command].choice(self.points[command])}:kill9"
            where, killed = fault, self.world.call(words, fault=fault)
        else:
            after = self.dice[command].uniform(0, 1.05 * self.seconds[command])
            where, killed = f"{after:.2f} s", self.world.call(words, kill_after=after)
        try:
            found = orphans_of() or self._problem(command, words, out, killed)
        except Exception as error:  # a benchmark goes on to the next kill, and tells
            found = f"{type(error).__name__}: {error}"
        if found is None:
            shutil.rmtree(out, ignore_errors=True)
        return found and f"{where} ({killed.code}): {found}"

    def _problem(self, command: str, words: list[str], out: Path, killed: Ended) -> str | None:
        if killed.code not in (0, -signal.SIGKILL):
            return f"ended with {killed.code}: {killed.text[-300:]}"
        if not visible_in(out):
            self.ends[f"{command} absent"] += 1
            again = self.world.call(words)  # whoever was killed so early begins again
            if again.code != 0:
                return f"the second time ended with {again.code}: {again.text[-300:]}"
        elif command in ("train", "decide", "resume", "evaluate"):
            if problem := self._go_on(command, visible_in(out)[0]):
                return problem
        else:
            self.ends[f"{command} whole"] += 1
        (folder,) = visible_in(out)
        found = outcome_of(folder)
        if differing := [
            key for key in self.clean[command] if found.get(key) != self.clean[command][key]
        ]:
            return f"differs in {differing}"
        if left := leftovers_in(out):
            return f"left {left}"
        return None if command == "export" else self._listed(folder)

    def _go_on(self, command: str, folder: Path) -> str | None:
        resumed = self.world.call(["resume", str(folder)])
        is_finished = resumed.code == 2 and "error[run/finished]" in resumed.text
        self.ends[f"{command} {'finished' if is_finished else 'resumed'}"] += 1
        return (
            None
            if resumed.code == 0 or is_finished
            else f"resume: {resumed.code} {resumed.text[-400:]}"
        )

    def _listed(self, folder: Path) -> str | None:
        shown = self.world.call(["show", str(folder), "--json"])
        status = json.loads(shown.text)["status"] if shown.code == 0 else shown.text[-300:]
        return None if status == "finished" else f"show says {status}"


def orphans_of() -> str | None:
    """Processes that a killed command began and that still work; they are ended."""
    left = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=ORPHAN_SECONDS)[1]
    told = [" ".join(process.cmdline())[-80:] for process in left]
    for process in left:
        process.kill()
    return f"left processes {told}" if told else None


def table_of(
    sweep: Sweep, commands: list[str], kills: int, failures: dict[str, str], took: dict[str, float]
) -> str:
    """One row a command."""
    lines = [
        "| command | kills | " + " | ".join(ENDS) + " | failures | s |",
        "|---|" + "---:|" * (len(ENDS) + 3),
    ]
    for command in commands:
        ends = " | ".join(str(sweep.ends[f"{command} {end}"]) for end in ENDS)
        failed = sum(name.split()[0] == command for name in failures)
        lines.append(f"| {command} | {kills} | {ends} | {failed} | {took[command]:.0f} |")
    return "\n".join(lines)


def main() -> int:
    """Sweep and tell; the exit code says whether every kill was survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", action="store_true", help="at failpoints, not at random times")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    given = parser.parse_args()
    commands = given.commands.split(",")
    if unknown := [name for name in commands if name not in COMMANDS]:
        parser.error(f"no command here: {', '.join(unknown)}; there are {', '.join(COMMANDS)}")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    failures: dict[str, str] = {}
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        sweep = Sweep(World(Path(name).resolve()), given.seed, given.points)
        for command in commands:
            began = time.monotonic()
            sweep.prepare(command)
            for number in range(given.kills):
                if problem := sweep.problem_of(command, number):
                    failures[f"{command} {number}"] = problem
                    print(f"{command} {number}: {problem}", file=sys.stderr, flush=True)
            took[command] = time.monotonic() - began
            print(f"{command}: done in {took[command]:.0f} s", file=sys.stderr, flush=True)
    where = "failpoints" if given.points else "random times"
    print(
        f"seed {given.seed}, at {where}\n\n{table_of(sweep, commands, given.kills, failures, took)}"
    )
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
