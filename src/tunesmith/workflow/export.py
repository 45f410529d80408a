"""The winner of a run -> a folder that needs neither tunesmith nor an adapter, proven to answer as it was measured.

A tuned contender's folder is an ordinary model folder, with its adapter merged, and what stands around the questions
beside it; any other contender's has everything but the weights of the base model.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import ModelError
from tunesmith.files import sync_folder
from tunesmith.model_folder.settings import read_settings
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import ChatTokenizer, Message, Run, Serving
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import say_at_the_end
from tunesmith.temporaries import temporary_folder
from tunesmith.workflow.bundle import PROOF, AnswersProof, prove, write_bundle
from tunesmith.workflow.index import Index, artifact_of
from tunesmith.workflow.inventory import folder_if_run
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.serving import TUNED, base_of, choose_contender

if TYPE_CHECKING:
    from tunesmith.engine.adapters.merge import Proof

PROBES = 8
MOST_PROBE_TOKENS = 1024
TEXTS = (
    "The capital of France is Paris, and the river that runs through it is the Seine.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))",
    'Dear Sir or Madam, I am writing to ask when my order of 12 March will arrive. Number 4711-B, {"express": true}.',
    "Die Katze schläft auf dem Sofa. 猫在沙发上睡觉。 Le chat dort sur le canapé.",
)
"""What a model is asked whose run left no samples."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote: which contender and why, the proof of merging, and that of the answers.

    `merge` is None where nothing is merged; `answers` where an adapter without a run was given. `dtype` is what the
    weights are computed in, None where a service answers. `sampling` are the settings of the folder by which servers
    would answer otherwise than it was measured, unless they are asked for the likeliest answer.
    """

    folder: Path
    contender: str | None
    why: str
    merge: "Proof | None"
    answers: AnswersProof | None
    dtype: str | None
    sampling: tuple[str, ...] = ()


def export(name: str, to: Path, contender: str | None = None, listener: Listener = SILENT) -> Exported:
    """Write the winner of a run, its `contender` of that name, or an adapter on its model, as a folder `to`.

    Errors: `ModelError`, `RunError`, `StoreError`, `UsageError`; `GateFailed` when it would answer otherwise than it
    was measured: nothing is written.
    """
    given = folder_if_run(name)
    place = Path(given)
    if os.path.lexists(to):  # also a link to nowhere
        raise ModelError(
            "target-exists", "There is something at this place already.", where=str(to), do="choose another folder"
        )
    if not (place / "run.json").is_file():
        return _export_adapter(given, to)
    folder = RunFolder.open(place)
    chosen = choose_contender(folder, contender)
    serving = chosen.serving
    with _beside(to) as temporary:
        merge, model = _written(folder, serving, temporary)
        is_exact = _is_float32(folder)
        dtype = None if model is None else "float32" if is_exact or merge else "bfloat16"
        write_bundle(folder, serving, model, dtype or "", temporary)
        proof = prove(folder, serving, temporary, is_exact=is_exact)
        proof.write(temporary / PROOF)
    say_at_the_end(lambda: f"Kept in {to}: the whole folder")
    with Index.open(listener) as index:  # the folder is written: what the store does not take is a warning
        index.add_artifact(artifact_of("export", to, folder.read(Run).id), folder)
    return Exported(to, serving.contender, chosen.why, merge, proof, dtype, sampling_of(to))


def _export_adapter(given: str, to: Path) -> Exported:
    """An adapter, or the model of a folder that a run trained, without a run's answers."""
    from tunesmith.engine.adapters.merge import export_merged

    named = NamedModel.open(given)
    identity = named.identity
    if identity.adapter is None:
        raise ModelError(
            "nothing-tuned",
            "This is a base model; there is nothing to merge.",
            where=given,
            do="give a run or an adapter",
        )
    probes = probes_of(None, named.tokenizer, named.context_tokens)
    proof = export_merged(Path(identity.folder), Path(identity.adapter), probes, to)
    say_at_the_end(lambda: f"Kept in {to}: the whole folder")
    return Exported(to, None, "", proof, None, "float32", sampling_of(to))


def sampling_of(folder: Path) -> tuple[str, ...]:
    """The settings in generation_config.json that change the likeliest answer, or draw another one: `temperature 0.7`.

    They are the base model's and stay, for its makers recommend them; transformers and vLLM go by them unasked.
    """
    settings = read_settings(folder / "generation_config.json") or {}
    draws = ("temperature", "top_p", "top_k", "min_p") if settings.get("do_sample") else ()
    neutral = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "presence_penalty": 0, "frequency_penalty": 0}
    found = [f"{name} {settings[name]}" for name in draws if settings.get(name) is not None]
    found += [f"{name} {settings[name]}" for name, none in neutral.items() if settings.get(name) not in (None, none)]
    return tuple(found or (["do_sample true"] if draws else []))


@contextmanager
def _beside(to: Path) -> Iterator[Path]:
    """A folder beside `to` that takes its place when the block ends well, and goes away when it does not."""
    with temporary_folder(to) as temporary:
        place = temporary / to.name
        yield place
        for path in place.rglob("__pycache__"):
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        sync_folder(place)
        os.rename(place, to)
    sync_folder(to.parent)


def _written(folder: RunFolder, serving: Serving, to: Path) -> "tuple[Proof | None, NamedModel | None]":
    """The folder `to`, made: with the tuned model merged into an ordinary one where that answers; and what answers."""
    from tunesmith.engine.adapters.merge import export_merged

    if serving.model != TUNED:
        to.mkdir()
        return None, None if serving.remote else base_of(folder, folder.read_recipe())
    named = NamedModel.open(str(folder.path))
    identity = named.identity
    probes = probes_of(folder, named.tokenizer, named.context_tokens)
    proof = export_merged(Path(identity.folder), Path(identity.adapter) if identity.adapter else None, probes, to)
    return proof, NamedModel.open(str(to))


def _is_float32(folder: RunFolder) -> bool:
    """Whether the run computes in float32 with whole weights: then nothing but the order of sums may differ."""
    from tunesmith.engine.load import dtype_here

    recipe = folder.read_recipe()
    return dtype_here(recipe.training.precision) == "float32" and recipe.adapter.kind != "qlora"


def probes_of(run: RunFolder | None, tokenizer: ChatTokenizer, context_tokens: int | None) -> list[list[int]]:
    """The validation examples that a run answered while it was trained, rendered with their answers; else `TEXTS`."""
    texts = list(TEXTS)
    if run is not None:
        instruction = run.read_recipe().data.instruction
        system = (Message("system", instruction),) if instruction else ()
        asked = {sample.example: sample for sample in run.samples().records}
        told = [
            (*system, Message("user", sample.question), Message("assistant", sample.expected))
            for sample in list(asked.values())[:PROBES]
        ]
        with suppress(ModelError):  # a template that refuses these roles: the texts will do
            texts = [tokenizer.render(messages) for messages in told] or texts
    most = min(MOST_PROBE_TOKENS, context_tokens or MOST_PROBE_TOKENS)
    return [encoded.ids[:most] for encoded in tokenizer.encode(texts)]
