"""Names of keys in other training tools and in earlier versions, mapped to ours.

Sources of the names: axolotl's config reference, LLaMA-Factory's arguments, transformers'
`TrainingArguments` and TRL's trainer configs, torchtune's recipes, unsloth's notebooks,
lm-evaluation-harness and inspect_ai for evaluation. Names are compared in lower case, with `_` for
`-`, without their sections.
"""

from typing import NamedTuple

from tunesmith.recipe.old_keys import OLD_KEYS, find_renamed_key


class OwnKey(NamedTuple):
    """Our equivalent `key` ("" if there is none), and in `hint` what differs or why none is
    needed.
    """

    key: str
    hint: str = ""


_BATCH_SIZE_HINT = (
    "batch_size counts the examples of a whole optimizer step: examples per device x accumulation"
    " steps"
)
_EPOCHS_HINT = "the length is given in passes (training.epochs) or in time (training.minutes)"
_TARGET_MODULES_HINT = "all-linear, or a list: [q_proj, v_proj]"
_SINGLE_DEVICE_HINT = "leave it out: training uses one device"
_LOGGING_HINT = "leave it out: each step is a line of metrics.jsonl in the run's folder"

KEY_ALIASES: dict[str, OwnKey] = {
    # how long and how fast
    **dict.fromkeys(("lr", "peak_lr", "max_lr"), OwnKey("training.learning_rate")),
    **dict.fromkeys(
        ("num_train_epochs", "num_epochs", "n_epochs", "epoch", "max_epochs"),
        OwnKey("training.epochs"),
    ),
    **dict.fromkeys(
        ("max_steps", "num_steps", "max_steps_per_epoch", "iters", "total_steps"),
        OwnKey("training.epochs", _EPOCHS_HINT),
    ),
    **dict.fromkeys(
        ("num_warmup_steps", "warmup_steps", "lr_warmup_steps"),
        OwnKey("training.warmup_ratio", "a fraction of the training: 0.05"),
    ),
    **dict.fromkeys(
        ("lr_scheduler_type", "scheduler", "lr_schedule"),
        OwnKey("training.lr_scheduler", "linear, cosine or constant"),
    ),
    **dict.fromkeys(
        ("clip_grad_norm", "gradient_clipping", "grad_clip"),
        OwnKey("training.max_grad_norm"),
    ),
    **dict.fromkeys(
        ("train_batch_size", "total_batch_size", "global_batch_size"), OwnKey("training.batch_size")
    ),
    **dict.fromkeys(
        ("gradient_accumulation_steps", "gradient_accumulation", "grad_accum"),
        OwnKey("training.batch_size", _BATCH_SIZE_HINT),
    ),
    **dict.fromkeys(
        ("per_device_train_batch_size", "per_device_batch_size"),
        OwnKey(
            "training.micro_batch_size",
            f"found by trial when omitted; {_BATCH_SIZE_HINT}",
        ),
    ),
    **dict.fromkeys(
        (
            "use_gradient_checkpointing",
            "enable_activation_checkpointing",
            "activation_checkpointing",
        ),
        OwnKey("training.gradient_checkpointing", "auto, on or off"),
    ),
    **dict.fromkeys(
        ("optim", "optimizer_type", "optimizer_name"),
        OwnKey("training.optimizer", "adamw or adafactor"),
    ),
    **dict.fromkeys(
        ("optim_args", "adam_beta1", "adam_beta2", "adam_epsilon"),
        OwnKey("", "leave it out: AdamW has betas 0.9 and 0.95 here"),
    ),
    **dict.fromkeys(
        ("bf16", "fp16", "tf32", "torch_dtype"),
        OwnKey("training.dtype", "auto, bfloat16 or float32"),
    ),
    **dict.fromkeys(("wd", "weight_decay_rate"), OwnKey("training.weight_decay")),
    **dict.fromkeys(
        ("eval_steps", "evals_per_epoch", "eval_strategy", "evaluation_strategy"),
        OwnKey("training.num_evals", "how often in the whole training"),
    ),
    "early_stopping": OwnKey("training.early_stopping_patience"),
    **dict.fromkeys(
        ("save_steps", "save_strategy", "saves_per_epoch", "checkpoint_steps"),
        OwnKey("training.checkpoint_minutes"),
    ),
    **dict.fromkeys(
        ("logging_steps", "report_to", "wandb_project", "log_every_n_steps", "logging_dir"),
        OwnKey("", _LOGGING_HINT),
    ),
    "random_seed": OwnKey("seed"),
    # the model and its adapter
    **dict.fromkeys(
        (
            "base_model",
            "model_name_or_path",
            "model_name",
            "model_id",
            "pretrained_model_name_or_path",
        ),
        OwnKey("model"),
    ),
    **dict.fromkeys(("lora_r", "lora_rank", "r", "lora_dim"), OwnKey("adapter.rank")),
    "lora_alpha": OwnKey("adapter.alpha"),
    "lora_dropout": OwnKey("adapter.dropout"),
    **dict.fromkeys(
        (
            "lora_target",
            "lora_target_modules",
            "lora_target_linear",
            "lora_attn_modules",
            "apply_lora_to_mlp",
        ),
        OwnKey("adapter.target_modules", _TARGET_MODULES_HINT),
    ),
    **dict.fromkeys(
        ("finetuning_type", "peft_type", "use_lora", "adapter_type"),
        OwnKey("adapter.kind", "lora or full"),
    ),
    **dict.fromkeys(
        ("load_in_8bit", "quantization_bit", "quantization", "use_qlora", "qlora"),
        OwnKey("adapter.load_in_4bit", "holds the frozen weights in 4 bits (NF4)"),
    ),
    **dict.fromkeys(("dora", "peft_use_dora", "lora_use_dora"), OwnKey("adapter.use_dora")),
    **dict.fromkeys(("rslora", "peft_use_rslora"), OwnKey("adapter.use_rslora")),
    "full_finetuning": OwnKey("adapter.kind", "full"),
    **dict.fromkeys(
        ("rl", "stage", "rlhf", "train_method"), OwnKey("method", "sft, dpo, orpo, simpo or kto")
    ),
    "loss_type": OwnKey("dpo.loss", "sigmoid or ipo"),
    **dict.fromkeys(("pref_beta", "dpo_beta", "rl_beta"), OwnKey("dpo.beta")),
    "orpo_alpha": OwnKey("orpo.beta"),
    "simpo_gamma": OwnKey("simpo.margin"),
    "kto_desirable_weight": OwnKey("kto.desirable_weight"),
    "kto_undesirable_weight": OwnKey("kto.undesirable_weight"),
    # the data
    **dict.fromkeys(
        (
            "dataset",
            "datasets",
            "dataset_name",
            "dataset_path",
            "train_file",
            "data_path",
            "train_data",
        ),
        OwnKey("data.path"),
    ),
    **dict.fromkeys(
        ("test_file", "test_data", "test_datasets", "eval_dataset"), OwnKey("data.test_path")
    ),
    **dict.fromkeys(
        (
            "max_seq_length",
            "max_seq_len",
            "cutoff_len",
            "sequence_len",
            "model_max_length",
            "block_size",
        ),
        OwnKey("data.max_length"),
    ),
    **dict.fromkeys(
        ("val_set_size", "val_size", "eval_ratio", "validation_split"),
        OwnKey("data.validation_fraction", "a fraction: 0.1"),
    ),
    **dict.fromkeys(("test_size", "test_split"), OwnKey("data.test_fraction", "a fraction: 0.2")),
    **dict.fromkeys(
        ("train_on_inputs", "train_on_input", "train_on_prompt"),
        OwnKey("data.train_on_prompts"),
    ),
    **dict.fromkeys(
        ("completion_only_loss", "assistant_only_loss", "mask_prompt"),
        OwnKey("data.train_on_prompts", "the opposite: false for true"),
    ),
    **dict.fromkeys(("system", "default_system", "system_message"), OwnKey("data.system_prompt")),
    **dict.fromkeys(("column_mapping", "field_mapping", "column_map"), OwnKey("data.columns")),
    **dict.fromkeys(
        ("packing", "sample_packing", "group_by_length", "pad_to_sequence_len"),
        OwnKey("", "leave it out: nothing is padded, and shared beginnings are computed once"),
    ),
    **dict.fromkeys(
        ("chat_template", "template", "prompt_template", "prompt_style"),
        OwnKey("", "leave it out: the model's own chat template is used"),
    ),
    # the machine
    **dict.fromkeys(
        ("deepspeed", "fsdp", "fsdp_config", "ddp", "num_processes", "devices", "tensor_parallel"),
        OwnKey("", _SINGLE_DEVICE_HINT),
    ),
    **dict.fromkeys(
        ("flash_attention", "flash_attn", "attn_implementation", "xformers_attention"),
        OwnKey("", "leave it out: the attention is chosen for the machine"),
    ),
    **dict.fromkeys(
        ("max_memory", "memory", "gpu_memory_utilization"), OwnKey("training.memory_gb")
    ),
    "output_dir": OwnKey("", "remove it: --out sets the parent folder of the run"),
    # sections
    **dict.fromkeys(("lora", "peft", "lora_config", "peft_config"), OwnKey("adapter")),
    **dict.fromkeys(
        ("train", "trainer", "training_args", "training_arguments", "hyperparameters"),
        OwnKey("training"),
    ),
    **dict.fromkeys(("eval", "generation", "testing"), OwnKey("evaluation")),
    "rag": OwnKey("retrieval"),
    # asking and scoring
    **dict.fromkeys(("num_fewshot", "n_shots", "few_shot"), OwnKey("evaluation.max_shots")),
    **dict.fromkeys(
        ("limit", "max_samples", "num_samples"),
        OwnKey("evaluation.max_test_examples"),
    ),
    **dict.fromkeys(
        ("per_device_eval_batch_size", "eval_batch_size"), OwnKey("evaluation.batch_size")
    ),
    **dict.fromkeys(
        ("metric", "metrics", "metric_for_best_model", "score"), OwnKey("evaluation.scorer")
    ),
    **dict.fromkeys(
        ("max_output_tokens", "max_completion_tokens", "generation_max_length", "max_gen_toks"),
        OwnKey("evaluation.max_new_tokens"),
    ),
    **dict.fromkeys(
        ("temperature", "top_p", "do_sample"),
        OwnKey("", "remove it: decoding is greedy"),
    ),
    "predictions": OwnKey("evaluation.external_answers"),
    **dict.fromkeys(
        ("max_connections", "concurrency", "max_concurrency"),
        OwnKey("evaluation.remote", "max_concurrency in it"),
    ),
    **dict.fromkeys(("api_base", "base_url"), OwnKey("evaluation.remote", "base_url in it")),
    **dict.fromkeys(
        ("api_key", "api_key_env"),
        OwnKey("evaluation.remote", "api_key_env in it names the variable"),
    ),
    "num_docs": OwnKey("retrieval.top_k"),
}


_OLD_NAMES = {old.rpartition(".")[2]: new for old, new in OLD_KEYS.items()}


def find_own_key(path: str) -> OwnKey | None:
    """Our equivalent of another tool's key or of one that an earlier version had; None if the name
    is neither.
    """
    path = path.replace("-", "_").lower()
    name = path.rsplit(".", 1)[-1]
    key = find_renamed_key(path) or (_OLD_NAMES.get(name) if "." not in path else None)
    if key is None:
        return KEY_ALIASES.get(name)
    in_remote = key.removeprefix("evaluation.remote.")
    return OwnKey(key) if in_remote == key else OwnKey("evaluation.remote", f"{in_remote} in it")
