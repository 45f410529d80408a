"""Recipe keys of earlier versions: a file that has them is read, and its reader is told the new
ones (docs/decisions/138).

On the command line an old key is an error that names the new one, as for another tool's key
(`key_aliases.py`).
"""

from collections.abc import Mapping
from typing import Any

OLD_SECTIONS = {"circumstances": "usage", "bar": "requirements"}
"""Section of earlier versions -> section now."""

OLD_KEYS = {
    "strict": "fail_on_warning",
    "data.group": "data.group_column",
    "data.instruction": "data.system_prompt",
    "data.validation_share": "data.validation_fraction",
    "data.test_share": "data.test_fraction",
    "data.max_tokens": "data.max_length",
    "data.train_on": "data.train_on_prompts",
    "data.allow_leaks": "data.allow_contamination",
    "training.micro_batch": "training.micro_batch_size",
    "training.warmup_share": "training.warmup_ratio",
    "training.decay": "training.lr_scheduler",
    "training.clip_norm": "training.max_grad_norm",
    "training.evaluations": "training.num_evals",
    "training.patience": "training.early_stopping_patience",
    "training.precision": "training.dtype",
    "training.on_bad_step": "training.on_nonfinite",
    "evaluation.shots": "evaluation.max_shots",
    "evaluation.trials": "evaluation.prompt_trials",
    "evaluation.optimiser": "evaluation.prompt_optimizer",
    "evaluation.answers": "evaluation.external_answers",
    "evaluation.test_limit": "evaluation.max_test_examples",
    "evaluation.validation_limit": "evaluation.max_validation_examples",
    "evaluation.remote.url": "evaluation.remote.base_url",
    "evaluation.remote.key_variable": "evaluation.remote.api_key_env",
    "evaluation.remote.at_once": "evaluation.remote.max_concurrency",
    "retrieval.k": "retrieval.top_k",
    "retrieval.words": "retrieval.chunk_size",
    "retrieval.overlap": "retrieval.chunk_overlap",
    "judge.labels": "judge.human_labels",
    "circumstances.task_changes": "usage.task_change_frequency",
    "circumstances.facts_change": "usage.fact_change_frequency",
    "circumstances.used": "usage.recurrence",
    "circumstances.data_may_go": "usage.data_residency",
    "circumstances.longest_wait_seconds": "usage.max_wait_seconds",
}
"""Key of earlier versions -> key now, in the same place. Keys in a list have the list's path."""

OLD_VALUES: Mapping[str, Mapping[str, Any]] = {
    "data.train_on": {"answers": False, "everything": True},
    "training.precision": {"bf16": "bfloat16"},
    "evaluation.optimiser": {"own": "builtin"},
    "retrieval.search": {"both": "hybrid"},
    "circumstances.data_may_go": {
        "this machine": "local",
        "own cloud": "private_cloud",
        "anywhere": "any",
    },
}
"""Key as an earlier version wrote it -> its value then -> its value now."""

OLD_ADAPTER_KINDS = {"rslora": "use_rslora", "dora": "use_dora", "qlora": "load_in_4bit"}
"""Former values of `adapter.kind` -> the option of `kind: lora` that they are now."""


def read_old_keys(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The tree of a recipe file with today's keys and values, and what was renamed, for example
    `{"training.decay": "training.lr_scheduler"}`.

    An old key beside its new one stays, which is an unknown key for the caller.
    """
    renamed: dict[str, str] = {}
    found = _read_section(tree, "", renamed)
    adapter = found.get("adapter")
    option = OLD_ADAPTER_KINDS.get(str(adapter.get("kind"))) if isinstance(adapter, dict) else None
    if isinstance(adapter, dict) and option:
        renamed[f"adapter.kind: {adapter['kind']}"] = f"adapter.{option}: true"
        found["adapter"] = {**adapter, "kind": "lora", option: True}
    return found, renamed


def _read_section(
    section: Mapping[str, Any], prefix: str, renamed: dict[str, str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in section.items():
        old = f"{prefix}{name}"
        new = OLD_KEYS.get(old) or OLD_SECTIONS.get(old) or old
        target = name if new == old else new.rpartition(".")[2]
        if target != name and target in section:
            new, target = old, name
        if new != old:
            renamed[old] = new
        if isinstance(value, dict):
            value = _read_section(value, f"{old}.", renamed)
        elif isinstance(value, list):
            value = [
                _read_section(one, f"{old}.", renamed) if isinstance(one, dict) else one
                for one in value
            ]
        changed = OLD_VALUES.get(old, {}) if isinstance(value, str) else {}
        if changed and value in changed:
            renamed.pop(old, None)
            renamed[f"{old}: {value}"] = f"{new}: {str(changed[value]).lower()}"
            value = changed[value]
        found[target] = value
    return found


def find_renamed_key(path: str) -> str | None:
    """Today's key for one of an earlier version, by its path; list indices are left out."""
    names = [name for name in path.split(".") if not name.isdigit()]
    old = ".".join(names)
    if old in OLD_KEYS:
        return OLD_KEYS[old]
    if names and names[0] in OLD_SECTIONS:
        return ".".join((OLD_SECTIONS[names[0]], *names[1:]))
    return None
