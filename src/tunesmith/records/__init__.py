"""The nouns: one frozen record for each arrow between two stages. Import them from here."""

from tunesmith.records.completion import Completer, Completion, Progress, Prompt
from tunesmith.records.dataset import CheckReport, CountedIn, Dataset, Problem, Severity, Shape, SourceFile, Split
from tunesmith.records.decision import Bar, Decision, Verdict
from tunesmith.records.estimate import Estimate, MemoryPlan, Range
from tunesmith.records.evaluation import Answer, Comparison, Contender, Evaluation
from tunesmith.records.example import ROLES, Example, Message, Role
from tunesmith.records.prepared import MaskProof, Piece, Prepared, TokenArrays
from tunesmith.records.quantity import Quantity
from tunesmith.records.recipe import (
    AdapterKind,
    AdapterRecipe,
    DataRecipe,
    DpoRecipe,
    EvaluationRecipe,
    KtoRecipe,
    Method,
    OrpoRecipe,
    Recipe,
    SimpoRecipe,
    TrainingRecipe,
)
from tunesmith.records.record import Record, canonical_json, fingerprint_of
from tunesmith.records.run import Machine, MetricLine, ModelIdentity, Run, RunStatus, TrainingResult
from tunesmith.records.tokenizer import ChatTokenizer, Encoded

__all__ = [
    "ROLES",
    "AdapterKind",
    "AdapterRecipe",
    "Answer",
    "Bar",
    "ChatTokenizer",
    "CheckReport",
    "Comparison",
    "Completer",
    "Completion",
    "Contender",
    "CountedIn",
    "DataRecipe",
    "Dataset",
    "Decision",
    "DpoRecipe",
    "Encoded",
    "Estimate",
    "Evaluation",
    "EvaluationRecipe",
    "Example",
    "KtoRecipe",
    "Machine",
    "MaskProof",
    "MemoryPlan",
    "Message",
    "Method",
    "MetricLine",
    "ModelIdentity",
    "OrpoRecipe",
    "Piece",
    "Prepared",
    "Problem",
    "Progress",
    "Prompt",
    "Quantity",
    "Range",
    "Recipe",
    "Record",
    "Role",
    "Run",
    "RunStatus",
    "Severity",
    "Shape",
    "SimpoRecipe",
    "SourceFile",
    "Split",
    "TokenArrays",
    "TrainingRecipe",
    "TrainingResult",
    "Verdict",
    "canonical_json",
    "fingerprint_of",
]
