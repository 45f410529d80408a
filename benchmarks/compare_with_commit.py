"""Compare this working tree with an earlier commit: the same weights, answers and verdicts, old
files still read.

    python benchmarks/compare_with_commit.py COMMIT
        for example the last commit before a refactoring

Both versions run the same commands on a tiny random model (tiny_world.py), each in processes of its
own. Compared:
1. `train`: the SHA-256 of the trained weights, the loss of every step, the answers at each
  validation pass;
2. `decide`: the answers of every contender, the metrics with their intervals, the verdict and its
  reasons;
3. what the earlier version left behind: its finished run is shown and decided again with the same
  verdict, its run that
   was killed in the middle is resumed to the same weights, its store lists the run, its recipe.yaml
   trains the same.
Prints one line for each comparison; the exit code says whether all of them hold.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tiny_world import World, outcome_of, visible_in

from tunesmith.recipe.old_keys import OLD_KEYS
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Recipe

HERE = Path(__file__).parent.parent
KILLED_AT = "train.step:5:kill9"


class Version:
    """One version of the program: `source` holds its package."""

    def __init__(self, name: str, source: Path, home: Path) -> None:
        self.name, self.source, self.home = name, source, home

    def run(self, words: list[str], fault: str = "") -> subprocess.CompletedProcess[str]:
        """One command line of this version."""
        if not (self.source / "tunesmith/recipe/old_keys.py").exists():
            words = use_old_keys(words)
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.source),
            "TUNESMITH_HOME": str(self.home),
            "TUNESMITH_FAULT": fault,
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "tunesmith", *words],
            env=environment,
            capture_output=True,
            text=True,
        )

    def must_run(self, words: list[str]) -> str:
        """Its standard output. Errors: `SystemExit` with what it printed, where it fails."""
        ended = self.run(words)
        if ended.returncode:
            sys.exit(
                f"{self.name}: tunesmith {' '.join(words)} ended with"
                f" {ended.returncode}\n{ended.stderr}"
            )
        return ended.stdout


def find_only_run(out: Path) -> Path:
    """The one folder that a command made in `out`."""
    (folder,) = visible_in(out)
    return folder


def read_decision(folder: Path) -> dict[str, Any]:
    """The stored verdict as JSON, whatever version wrote it."""
    decision: dict[str, Any] = json.loads((folder / "decision.json").read_text())
    return {key: decision[key] for key in ("verdict", "winner")}


def read_settings(recipe: Path) -> Recipe:
    """A stored recipe, whichever version's keys it has."""
    return load_recipe(recipe, is_stored=True)


def use_old_keys(words: Sequence[str]) -> list[str]:
    """A command line with the recipe keys of earlier versions."""
    old_keys = {new: old for old, new in OLD_KEYS.items()}

    def translate(word: str) -> str:
        key, equals, value = word.partition("=")
        return f"{old_keys.get(key, key)}{equals}{value}"

    return [translate(word) for word in words]


def compare(world: World, old: Version, new: Version) -> Iterator[tuple[str, bool]]:
    """What was compared, and whether it is the same."""
    place = world.place
    folders: dict[tuple[str, str], Path] = {}
    for version in (old, new):
        for command in ("train", "decide"):
            out = place / f"{version.name}-{command}"
            version.must_run(world.command(command, out))
            folders[version.name, command] = find_only_run(out)
    old_train, new_train = (outcome_of(folders[name, "train"]) for name in ("old", "new"))
    for part in ("weights", "steps", "samples"):
        yield f"train: {part}", old_train[part] == new_train[part]
    yield (
        "train: the stored recipe",
        read_settings(folders["old", "train"] / "recipe.yaml")
        == read_settings(folders["new", "train"] / "recipe.yaml"),
    )
    old_decide, new_decide = (outcome_of(folders[name, "decide"]) for name in ("old", "new"))
    for outcome in (old_decide, new_decide):
        # the names of choices and of what was tried are words, which may change
        outcome["choices"] = [
            [trial.scores for trial in trials] for trials in outcome["choices"].values()
        ]
    for part in ("weights", "answers", "choices", "metrics", "verdict"):
        yield f"decide: {part}", old_decide[part] == new_decide[part]
    yield from compare_old_files(world, old, new, folders, old_train)


def compare_old_files(
    world: World,
    old: Version,
    new: Version,
    folders: dict[tuple[str, str], Path],
    old_train: dict[str, Any],
) -> Iterator[tuple[str, bool]]:
    """What the earlier version left behind, in the hands of this one: with the earlier one's home
    and store."""
    place, heir = world.place, Version("new", new.source, old.home)
    finished = folders["old", "decide"]
    before = read_decision(finished)
    yield "the old run is shown", heir.run(["show", str(finished)]).returncode == 0
    yield (
        "the old store lists its runs",
        finished.name in heir.run(["runs", "--all", "--json"]).stdout,
    )
    again = json.loads(heir.must_run(["decide", str(finished), "--json"]))
    yield "the old answers give the old verdict", again["verdict"] == before["verdict"]
    out = place / "old-recipe"
    heir.must_run(["train", str(folders["old", "train"] / "recipe.yaml"), "--out", str(out)])
    yield (
        "the old recipe trains the old weights",
        outcome_of(find_only_run(out))["weights"] == old_train["weights"],
    )
    out = place / "old-killed"
    cut = old.run(world.command("train", out), KILLED_AT)
    assert cut.returncode == -signal.SIGKILL, cut.stderr
    killed = find_only_run(out)
    ended = heir.run(["resume", str(killed)])
    yield "the old killed run is resumed", ended.returncode == 0
    yield "... to the old weights", outcome_of(killed)["weights"] == old_train["weights"]


def main(commit: str) -> int:
    """0 when everything is the same."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        tree = place / "tree"
        subprocess.run(
            ["git", "-C", str(HERE), "worktree", "add", "--quiet", "--detach", str(tree), commit],
            check=True,
        )
        try:
            world = World(place / "world")
            old = Version("old", tree / "src", place / "old-home")
            new = Version("new", HERE / "src", place / "new-home")
            results = list(compare(world, old, new))
        finally:
            subprocess.run(
                ["git", "-C", str(HERE), "worktree", "remove", "--force", str(tree)], check=False
            )
    for what, is_same in results:
        print(f"{'same' if is_same else 'DIFFERENT':9} {what}")
    return int(not all(is_same for _, is_same in results))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
