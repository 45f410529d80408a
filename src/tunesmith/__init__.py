"""tunesmith: should I prompt, retrieve or fine-tune? A measured answer and the tuned model.

Every name is loaded on first use: importing tunesmith loads no torch, opens no socket, writes
nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.data.read import read_dataset
    from tunesmith.errors import TunesmithError
    from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
    from tunesmith.recipe.recipe_loader import load_recipe
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
    from tunesmith.runs.run_folder import RunFolder
    from tunesmith.runs.run_registry import fetch_sample
    from tunesmith.store.store import Store
    from tunesmith.workflow.chat import load_chat
    from tunesmith.workflow.check import check
    from tunesmith.workflow.decide import DecisionResult, decide
    from tunesmith.workflow.estimate import estimate
    from tunesmith.workflow.model_evaluation import evaluate
    from tunesmith.workflow.resume import resume
    from tunesmith.workflow.training_job import train

_EXPORTS = {
    "CheckReport": "records",
    "Completer": "records",
    "Completion": "records",
    "Decision": "records",
    "Evaluation": "records",
    "Example": "records",
    "Message": "records",
    "DecisionResult": "workflow.decide",
    "Quantity": "records",
    "Recipe": "records",
    "Run": "records",
    "RunFolder": "runs.run_folder",
    "Store": "store.store",
    "TunesmithError": "errors",
    "check": "workflow.check",
    "choose_scorer": "evaluation.scorers.scorer_registry",
    "decide": "workflow.decide",
    "estimate": "workflow.estimate",
    "evaluate": "workflow.model_evaluation",
    "fetch_sample": "runs.run_registry",
    "load_recipe": "recipe.recipe_loader",
    "load_chat": "workflow.chat",
    "read_dataset": "data.read",
    "resume": "workflow.resume",
    "train": "workflow.training_job",
}

__all__ = [
    "CheckReport",
    "Completer",
    "Completion",
    "Decision",
    "DecisionResult",
    "Evaluation",
    "Example",
    "Message",
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
    "load_chat",
    "load_recipe",
    "read_dataset",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    return getattr(import_module(f"tunesmith.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
