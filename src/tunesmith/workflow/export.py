"""The winner of a run -> a folder that needs neither tunesmith nor an adapter, verified to answer
as it was measured.

A tuned contender's folder is an ordinary model folder with its adapter merged, plus the prompt
files; that of any other contender has everything but the weights of the base model.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.atomic_io import sync_folder
from tunesmith.contenders.contender_loading import (
    TUNED_CONTENDER,
    choose_contender,
    open_base_model,
)
from tunesmith.errors import ModelError
from tunesmith.export.bundle import PROOF_FILE, AnswersProof, verify_bundle, write_bundle
from tunesmith.model_folder.settings_json import read_settings
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import ChatTokenizer, InferenceConfig, Message, Run
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.run_registry import resolve_run_or_name
from tunesmith.runs.signals import set_exit_message
from tunesmith.runs.store_index import StoreIndex, build_artifact
from tunesmith.temporary_files import make_temporary_folder

if TYPE_CHECKING:
    from tunesmith.engine.adapters.merge import MergeProof

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


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote: which contender and why, the proof of merging, and that of the answers.

    `merge` is None if nothing was merged; `answers` is None for an adapter without a run. `dtype`
    is what the weights are computed in, None if a service answers. `sampling` lists the settings in
    the folder that make servers answer differently than measured, unless they are called with
    greedy decoding.
    """

    folder: Path
    contender: str | None
    reason: str
    merge: "MergeProof | None"
    answers: AnswersProof | None
    dtype: str | None
    sampling: tuple[str, ...] = ()


def export(
    name: str, to: Path, contender: str | None = None, listener: ProgressListener = NULL_LISTENER
) -> ExportResult:
    """Write the winner of a run, its `contender` of that name, or an adapter merged into its model,
    to the folder `to`.

    Errors: `ModelError`, `RunError`, `StoreError`, `UsageError`; `GateFailed` if it would answer
    differently than measured: then nothing is written.
    """
    given = resolve_run_or_name(name)
    place = Path(given)
    if os.path.lexists(to):  # lexists also finds a dangling link
        raise ModelError(
            "target-exists",
            "output path already exists",
            at=str(to),
            hint="use another folder",
        )
    if not (place / "run.json").is_file():
        return _export_adapter(given, to)
    folder = RunFolder.open(place)
    chosen = choose_contender(folder, contender)
    serving = chosen.inference_config
    with _stage_folder(to) as temporary:
        merge, model = _write_model(folder, serving, temporary)
        is_exact = _is_float32(folder)
        # A merged model is written in float32 whatever it was trained in (docs/decisions/030).
        dtype = None if model is None else "float32" if is_exact or merge else "bfloat16"
        write_bundle(folder, serving, model, dtype or "", temporary)
        proof = verify_bundle(folder, serving, temporary, is_exact=is_exact)
        proof.write(temporary / PROOF_FILE)
    set_exit_message(lambda: f"Saved in {to}: the whole folder")
    # the folder is complete: a failing store is only a warning
    with StoreIndex.open(listener) as index:
        index.add_artifact(build_artifact("export", to, folder.read(Run).id), folder)
    return ExportResult(
        to, serving.contender, chosen.reason, merge, proof, dtype, list_sampling_settings(to)
    )


def _export_adapter(given: str, to: Path) -> ExportResult:
    """Export an adapter, or the model of a run's folder, without the answers of a run."""
    from tunesmith.engine.adapters.merge import export_merged

    named = ResolvedModel.open(given)
    identity = named.identity
    if identity.adapter is None:
        raise ModelError(
            "nothing-tuned",
            "nothing to merge: this is a base model",
            at=given,
            hint="pass a run or an adapter",
        )
    probes = build_probes(None, named.tokenizer, named.context_tokens)
    proof = export_merged(Path(identity.folder), Path(identity.adapter), probes, to)
    set_exit_message(lambda: f"Saved in {to}: the whole folder")
    return ExportResult(to, None, "", proof, None, "float32", list_sampling_settings(to))


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


@contextmanager
def _stage_folder(to: Path) -> Iterator[Path]:
    """A temporary folder next to `to` that is renamed to it if the block succeeds, and removed if
    it fails.
    """
    with make_temporary_folder(to) as temporary:
        place = temporary / to.name
        yield place
        # verify_bundle has run the programs in this folder.
        for path in place.rglob("__pycache__"):
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        # fsync before the rename: after a power cut the folder is either complete or absent.
        sync_folder(place)
        os.rename(place, to)
    sync_folder(to.parent)


def _write_model(
    folder: RunFolder, serving: InferenceConfig, to: Path
) -> "tuple[MergeProof | None, ResolvedModel | None]":
    """Create the folder `to`, with the merged model if the tuned one answers; returns the proof and
    the model that answers.
    """
    from tunesmith.engine.adapters.merge import export_merged

    if serving.model != TUNED_CONTENDER:
        to.mkdir()
        return None, None if serving.remote else open_base_model(folder, folder.read_recipe())
    named = ResolvedModel.open(str(folder.path))
    identity = named.identity
    probes = build_probes(folder, named.tokenizer, named.context_tokens)
    proof = export_merged(
        Path(identity.folder), Path(identity.adapter) if identity.adapter else None, probes, to
    )
    return proof, ResolvedModel.open(str(to))


def _is_float32(folder: RunFolder) -> bool:
    """Whether the run computes in float32 with unquantized weights: then only the order of
    summation may differ.
    """
    from tunesmith.engine.model_loading import get_local_dtype

    recipe = folder.read_recipe()
    return get_local_dtype(recipe.training.dtype) == "float32" and not recipe.adapter.load_in_4bit


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
