"""The recipe's YAML."""

from pathlib import Path

from tests.fuzz.target import Target
from tunesmith.recipe.recipe_loader import load_recipe

SEEDS = [
    (
        b"model: smollm2-135m-instruct\nmethod: sft\ndata:\n  path: data.jsonl\n  columns: {prompt:"
        b" question}\ntraining:\n  minutes: 5\n  learning_rate: 2e-4\nbar:\n  min_gain: 0.02\n"
    ),
    (
        b"method: dpo\ndpo: {beta: 0.2, loss: ipo}\nadapter:\n  kind: full\nevaluation:\n "
        b' remote:\n    - {name: a, url: "http://127.0.0.1:1/v1", model: m, usd_per_million_in: 0,'
        b" usd_per_million_out: 0}\n"
    ),
]


def load(data: bytes, folder: Path) -> object:
    """A recipe from a file."""
    path = folder / "recipe.yaml"
    path.write_bytes(data)
    return load_recipe(str(path))


TARGETS = (Target("recipe", load, lambda: SEEDS),)
