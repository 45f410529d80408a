"""What a merged model is compared on, and which of its settings make servers answer differently."""

from contextlib import suppress
from pathlib import Path

from tunesmith.errors import ModelError
from tunesmith.model_folder.settings_json import read_settings
from tunesmith.records import ChatTokenizer, Message
from tunesmith.runs.run_folder import RunFolder

MAX_PROBES = 8
"""Texts on which the merged model is compared with model and adapter."""
MAX_PROBE_TOKENS = 1024
"""Tokens of a probe text; longer ones are cut."""
DEFAULT_PROBE_TEXTS = (
    "The capital of France is Paris, and the river that runs through it is the Seine.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))",
    (
        "Dear Sir or Madam, I am writing to ask when my order of 12 March will arrive. Number"
        ' 4711-B, {"express": true}.'
    ),
    "Die Katze schläft auf dem Sofa. 猫在沙发上睡觉。 Le chat dort sur le canapé.",
)
"""Probe texts for a model whose run left no samples."""


def list_sampling_settings(folder: Path) -> tuple[str, ...]:
    """The settings in generation_config.json that change greedy decoding or turn on sampling, for
    example `temperature 0.7`.

    They come from the base model and are left in place, because its makers recommend them;
    transformers and vLLM apply them by default.
    """
    settings = read_settings(folder / "generation_config.json") or {}
    draws = ("temperature", "top_p", "top_k", "min_p") if settings.get("do_sample") else ()
    neutral = {
        "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "presence_penalty": 0,
        "frequency_penalty": 0,
    }
    sampling = [f"{name} {settings[name]}" for name in draws if settings.get(name) is not None]
    sampling += [
        f"{name} {settings[name]}"
        for name, none in neutral.items()
        if settings.get(name) not in (None, none)
    ]
    return tuple(sampling or (["do_sample true"] if draws else []))


def build_probes(
    run: RunFolder | None, tokenizer: ChatTokenizer, context_tokens: int | None
) -> list[list[int]]:
    """Token ids of the validation samples that a run answered during training, with their expected
    answers; else of `DEFAULT_PROBE_TEXTS`.
    """
    texts = list(DEFAULT_PROBE_TEXTS)
    if run is not None:
        instruction = run.read_recipe().data.system_prompt
        system = (Message("system", instruction),) if instruction else ()
        asked = {sample.example: sample for sample in run.read_samples().records}
        answers = [
            (*system, Message("user", sample.question), Message("assistant", sample.expected))
            for sample in list(asked.values())[:MAX_PROBES]
        ]
        # a chat template that rejects these roles: fall back to the default texts
        with suppress(ModelError):
            texts = [tokenizer.render(messages) for messages in answers] or texts
    most = min(MAX_PROBE_TOKENS, context_tokens or MAX_PROBE_TOKENS)
    return [encoded.ids[:most] for encoded in tokenizer.encode(texts)]
