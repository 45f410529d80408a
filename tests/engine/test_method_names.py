"""The engine's loop knows no training method by name: what a method needs it declares."""

import re
from pathlib import Path

import tunesmith.engine
from tunesmith.records.method_specs import METHODS

ENGINE = Path(tunesmith.engine.__file__).parent
WORDS = (*METHODS.builtins, "ipo", "mismatched", "estimates_kl", "is_desirable")


def test_no_module_of_the_engine_outside_methods_names_a_method() -> None:
    # generation/ scores given texts, for which it takes the loss of one method
    paths = [
        path for path in ENGINE.rglob("*.py") if path.parent.name not in ("methods", "generation")
    ]
    token_arrays = ENGINE.parent / "records/tokenized_data.py"
    found = [
        f"{path.name}:{number}: {word}"
        for path in (*paths, token_arrays)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for word in WORDS
        if re.search(rf"\b{word}\b", line, re.IGNORECASE)
    ]
    assert len(paths) > 30 and not found, "\n".join(found)
