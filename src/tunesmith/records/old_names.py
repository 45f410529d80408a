"""Names that stored files of earlier versions use: read under today's names, never written.

Earlier versions named many fields in words of their own (`said` for what was predicted). Run
folders, store rows and bundles that they wrote are read as if they had today's names
(docs/decisions/138). A fingerprint is still computed with the earlier names: it identifies a record
for good, in `run.json` of old runs and as the key of the store's rows.
"""

from collections.abc import Mapping
from typing import Any

RENAMED_FIELDS: Mapping[str, Mapping[str, str]] = {
    "Analysis": {
        "suspected": "n_label_issues",
        "suspects": "label_issues",
        "suspects_among": "n_checked_labels",
        "suspects_by": "label_issue_signals",
        "unanswered": "n_unanswered",
        "wrong": "n_wrong",
        "wrong_below": "min_correct_score",
    },
    "Answer": {"finished": "is_complete", "unscored": "scoring_error", "way": "mode"},
    "AnswerMismatch": {"bundle": "reproduced"},
    "AnswersProof": {"asked": "compared", "differing": "mismatches", "same": "matching"},
    "BreakEvenPoint": {"before": "previous"},
    "Comparison": {"needed_n": "required_n"},
    "ContaminatedExample": {"side": "split"},
    "ContaminationReport": {
        "allowed": "allowed_kinds",
        "found": "examples",
        "in_training": "train_examples",
        "leaked": "contaminated_test_ids",
        "left_out": "removed_train_ids",
        "templated": "is_templated",
    },
    "Contender": {
        "chosen": "selection_notes",
        "clean": "score_without_contaminated",
        "given": "description",
        "retrieval_hits": "retrieval_hit_rate",
    },
    "ContenderCost": {"correct": "accuracy", "excluded": "exclusion_reason"},
    "ContenderRecord": {"profile": "spec"},
    "ContenderSpec": {
        "chosen": "selection_notes",
        "given": "description",
        "retrieval_hits": "retrieval_hit_rate",
    },
    "CostPart": {"moves_with": "uncertainty_source", "per": "unit", "what": "name"},
    "CostPrediction": {"foreseen": "estimated_usd", "what": "name"},
    "CostReport": {
        "cheapest": "break_even_points",
        "cheapest_correct": "break_even_points_per_correct",
    },
    "DataDescription": {
        "counted_in": "length_unit",
        "described": "n_described",
        "form": "output_format",
        "measured": "n_measured",
        "shows": "power_statement",
    },
    "DatasetInfo": {"shape": "format"},
    "Decision": {
        "bar": "requirements",
        "beside": "key_contenders",
        "circumstances": "usage_context",
        "needed_test_examples": "required_test_examples",
        "training": "training_length",
    },
    "ErrorGroup": {
        "is_beyond_noise": "is_significant",
        "lift": "excess_rate",
        "of": "n",
        "share": "fraction",
    },
    "Estimate": {
        "asking_seconds": "evaluation_seconds",
        "extent": "training_length",
        "factors": "corrections",
        "how": "method",
        "parts": "breakdown",
    },
    "Evaluation": {"leaked": "contaminated"},
    "Failure": {
        "misled": "neighbors_with_prediction",
        "neighbours": "neighbors",
        "said": "predicted",
        "taught": "neighbors_with_reference",
        "wanted": "expected",
    },
    "Forgetting": {"lapses": "regressions"},
    "InferenceConfig": {"form": "output_constraint", "most_tokens": "max_prompt_tokens"},
    "JudgeQualification": {
        "constant": "constant_verdict",
        "gain": "gain_over_constant",
        "moved": "injection_successes",
        "planted": "injection_trials",
    },
    "LabelIssue": {"instead": "predicted", "signals": "n_signals", "why": "reason"},
    "LengthStats": {"high": "p95", "most": "max"},
    "MachineTime": {"waiting": "waiting_fraction"},
    "MaskProof": {"end_of_turn_trained": "is_end_of_turn_trained"},
    "MemoryPlan": {"most_examples": "max_examples", "most_tokens": "max_tokens"},
    "MergeProof": {
        "bf16_divergence_beside": "bf16_divergence_unmerged",
        "bf16_other_token": "bf16_changed_token_fraction",
        "bf16_other_token_beside": "bf16_changed_token_fraction_unmerged",
        "merged": "merge_error",
        "moved": "adapter_shift",
        "places": "positions",
        "read_back": "reload_error",
    },
    "PairSummary": {"needed_n": "required_n"},
    "PowerStatement": {
        "deviation": "standard_deviation",
        "discordant": "disagreement_rate",
        "needed": "required_n",
        "shows": "min_detectable_gain",
        "wanted": "target_gain",
    },
    "PreparedSplit": {"content": "content_sha256"},
    "ProbeAnswer": {"is_right": "is_correct"},
    "Problem": {"counted_in": "position_unit", "do": "hint"},
    "Quantity": {"failed": "n_failed"},
    "RemoteRecipe": {
        "url": "base_url",
        "key_variable": "api_key_env",
        "at_once": "max_concurrency",
    },
    "Run": {
        "drift": "environment_changes",
        "identity": "reproducibility_key",
        "resumed": "resume_count",
    },
    "RunComparison": {
        "same_test_examples": "n_shared_test_examples",
        "seed_spread": "seed_standard_deviation",
    },
    "ScoreChange": {"is_beyond_noise": "is_significant"},
    "SelectionRecord": {"found": "optimized_prompt", "what": "purpose"},
    "Suggestion": {
        "may_be_chance": "is_uncertain",
        "most_gain": "max_gain",
        "neighbours": "neighbors",
        "of": "n",
        "rows": "n_new_examples",
    },
    "TestSet": {"leaked": "contaminated"},
    "TestSetAccess": {"at": "accessed_at", "test": "test_set", "why": "purpose"},
    "TextSpan": {"trained": "is_trained"},
    "TrainingLength": {
        "fall": "remaining_loss_drop",
        "steps_per_pass": "steps_per_epoch",
        "wanted_passes": "default_epochs",
    },
    "TrainingResult": {"ended_early": "stopped_early", "extent": "training_length"},
    "Usage": {"waiting": "waiting_fraction"},
    "UsageContext": {
        "data_may_go": "data_residency",
        "facts_change": "fact_change_frequency",
        "task_changes": "task_change_frequency",
        "used": "recurrence",
        "longest_wait_seconds": "max_wait_seconds",
    },
}
"""Record -> {field in stored files of earlier versions: field now}."""

RENAMED_VALUES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "InferenceConfig": {"search": {"both": "hybrid"}},
    "UsageContext": {
        "data_residency": {"this machine": "local", "own cloud": "private_cloud", "anywhere": "any"}
    },
}
"""Record -> field (its name now) -> {stored value of earlier versions: value now}."""


def read_old_names(record: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The stored fields of a record under today's names; a field that has both stays twice, which
    is an error for the caller.
    """
    fields = RENAMED_FIELDS.get(record, {})
    found = {
        (name if fields.get(name) in stored else fields.get(name, name)): value
        for name, value in stored.items()
    }
    for name, values in RENAMED_VALUES.get(record, {}).items():
        if isinstance(found.get(name), str):
            found[name] = values.get(found[name], found[name])
    return found


def write_old_names(record: str, dumped: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record under the names by which it is fingerprinted."""
    first = {new: old for old, new in RENAMED_FIELDS.get(record, {}).items()}
    values = {
        name: {new: old for old, new in changed.items()}
        for name, changed in RENAMED_VALUES.get(record, {}).items()
    }
    return {
        first.get(name, name): values[name].get(value, value)
        if name in values and isinstance(value, str)
        else value
        for name, value in dumped.items()
    }
