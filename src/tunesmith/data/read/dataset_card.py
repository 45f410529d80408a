"""Read the file list of a Hugging Face dataset: `configs` in the YAML front matter of its README.

    configs:
    - config_name: main
      data_files:
      - split: train
        path: main/train-*

Source: https://huggingface.co/docs/hub/datasets-manual-configuration
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.atomic_io import open_regular_file
from tunesmith.yaml_io import InvalidYaml, load_plain_yaml

MAX_CARD_BYTES = 2**20
MAX_WILDCARDS = 8
# Lazy up to the first closing `---`, so that rules in the text below are not taken for the end.
_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


class Subset(NamedTuple):
    """One entry of `configs`: pairs of split name (None: unspecified) and path pattern."""

    name: str
    files: tuple[tuple[str | None, str], ...]

    def find_split(self, path: str) -> tuple[str | None, bool]:
        """(the split of this file or None, whether this subset contains the file)."""
        for split, pattern in self.files:
            if _matches_pattern(path, pattern):
                return split, True
        return None, False


def read_subsets(folder: Path) -> tuple[Subset, ...]:
    """The subsets declared in README.md, empty when there are none.

    Errors: `InvalidYaml` when the front matter cannot be parsed.
    """
    card = folder / "README.md"
    if not card.is_file():
        return ()
    with open_regular_file(card) as file:
        text = file.read(MAX_CARD_BYTES).decode("utf-8", "replace")
    head = _HEAD.match(text)
    if head is None or "configs" not in head[1]:
        return ()
    # number_keys: other parts of a card, such as class labels, have numbers as keys.
    values = load_plain_yaml(head[1], number_keys=True)
    configs = values.get("configs") if isinstance(values, dict) else None
    return tuple(map(_parse_subset, configs)) if isinstance(configs, list) else ()


def _parse_subset(config: Any) -> Subset:
    if not isinstance(config, dict):
        raise InvalidYaml("an entry of configs that is not a mapping")
    name, below = str(config.get("config_name", "default")), config.get("data_dir")
    prefix = f"{str(below).strip('/')}/" if below and str(below).strip("./") else ""
    files = config.get("data_files")
    if files is None:
        return Subset(name, ((None, prefix or "**"),))
    return Subset(
        name,
        tuple((split, prefix + path.removeprefix("./")) for split, path in _parse_patterns(files)),
    )


def _parse_patterns(files: Any) -> Sequence[tuple[str | None, str]]:
    """(split, pattern) pairs of any form: pattern, list, list of `{split, path}`, or mapping."""
    if isinstance(files, str):
        return [(None, files)]
    if isinstance(files, dict):
        return [
            (str(split), path) for split, paths in files.items() for path in _parse_paths(paths)
        ]
    found: list[tuple[str | None, str]] = []
    for entry in files if isinstance(files, list) else [files]:
        if isinstance(entry, dict):
            split = None if entry.get("split") is None else str(entry["split"])
            found += [(split, path) for path in _parse_paths(entry.get("path"))]
        else:
            found += [(None, path) for path in _parse_paths(entry)]
    return found


def _parse_paths(paths: Any) -> list[str]:
    listed = paths if isinstance(paths, list) else [paths]
    if not all(isinstance(path, str) for path in listed):
        raise InvalidYaml("data_files that are not paths")
    # Each star becomes an unbounded repetition; many of them backtrack exponentially.
    if any(path.count("*") > MAX_WILDCARDS for path in listed):
        raise InvalidYaml(f"a pattern of data_files with more than {MAX_WILDCARDS} wildcards")
    return listed


def _matches_pattern(path: str, pattern: str) -> bool:
    """Whether a path matches a pattern or lies below it. `*` stays in one folder, `**` does not."""
    if path.startswith(f"{pattern.rstrip('/')}/"):
        return True
    pieces = re.split(r"(\*\*/?|\*|\?)", pattern)
    wild = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return (
        re.fullmatch("".join(wild.get(piece) or re.escape(piece) for piece in pieces), path)
        is not None
    )
