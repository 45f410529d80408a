"""tunesmith: should I prompt, retrieve or fine-tune? A measured answer and the tuned model.

Every name here is loaded when it is first used: importing tunesmith loads no torch, opens no socket, writes nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.data.read import read_dataset
    from tunesmith.errors import TunesmithError
    from tunesmith.evaluation.scorers.choose import choose_scorer
    from tunesmith.recipe.load import load_recipe
    from tunesmith.records import (
        CheckReport,
        Completer,
        Completion,
        Decision,
        Evaluation,
        Example,
        Message,
        Quantity,
        Recipe,
        Run,
    )
    from tunesmith.runs.folder import RunFolder
    from tunesmith.store.store import Store
    from tunesmith.workflow.check import check
    from tunesmith.workflow.decide import Outcome, decide
    from tunesmith.workflow.estimate import estimate
    from tunesmith.workflow.evaluate import evaluate
    from tunesmith.workflow.inventory import fetch_sample
    from tunesmith.workflow.resume import resume
    from tunesmith.workflow.talk import open_talk
    from tunesmith.workflow.tuning import train

_HOMES = {
    "CheckReport": "records",
    "Completer": "records",
    "Completion": "records",
    "Decision": "records",
    "Evaluation": "records",
    "Example": "records",
    "Message": "records",
    "Outcome": "workflow.decide",
    "Quantity": "records",
    "Recipe": "records",
    "Run": "records",
    "RunFolder": "runs.folder",
    "Store": "store.store",
    "TunesmithError": "errors",
    "check": "workflow.check",
    "choose_scorer": "evaluation.scorers.choose",
    "decide": "workflow.decide",
    "estimate": "workflow.estimate",
    "evaluate": "workflow.evaluate",
    "fetch_sample": "workflow.inventory",
    "load_recipe": "recipe.load",
    "open_talk": "workflow.talk",
    "read_dataset": "data.read",
    "resume": "workflow.resume",
    "train": "workflow.tuning",
}

__all__ = [
    "CheckReport",
    "Completer",
    "Completion",
    "Decision",
    "Evaluation",
    "Example",
    "Message",
    "Outcome",
    "Quantity",
    "Recipe",
    "Run",
    "RunFolder",
    "Store",
    "TunesmithError",
    "check",
    "choose_scorer",
    "decide",
    "estimate",
    "evaluate",
    "fetch_sample",
    "load_recipe",
    "open_talk",
    "read_dataset",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    return getattr(import_module(f"tunesmith.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
