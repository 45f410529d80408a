"""A contender as a folder that runs without tunesmith: prompt.json, the search index, answer.py,
README.md.

Text, JSON and safetensors only. The programs are verbatim copies of those in `engine/standalone/`.
The last step runs the bundle on the test examples and compares its answers with the stored ones
(`verify_bundle`).
"""

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import write_atomically
from tunesmith.contenders.retrieval.prompt_augmentation import PASSAGES_HEADER
from tunesmith.errors import GateFailed, RunError, UsageError
from tunesmith.export.answers_proof import AnswerMismatch, AnswersProof
from tunesmith.export.exporter import ExportProof, ExportSource
from tunesmith.models.embedded import get_embedding_models, resolve_embedding_model
from tunesmith.providers.embedder import DEFAULT_MODEL
from tunesmith.providers.http_client import RetryPolicy, build_endpoint_url
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.providers.remote_model import get_provider_name, is_openai_compatible
from tunesmith.providers.structured_output import ANSWER_FIELD, build_response_format
from tunesmith.records import InferenceConfig, Message, RemoteRecipe, TestSet
from tunesmith.runs.contender_files import read_index, write_index
from tunesmith.runs.run_folder import RunFolder

PROOF_FILE = "answers_proof.json"
MIN_MATCH_FRACTION = 0.9
"""A bundle that reproduces a smaller fraction of the stored answers, at the same precision, is not
written: rounding may flip a token where two are almost equally likely, but no more than that.
"""


def export_bundle(source: ExportSource, to: Path) -> ExportProof:
    """Write the contender as a folder that answers without tunesmith: the merged model if the tuned
    one answers, and the parts of a bundle; of an adapter alone the merged model only.

    Errors: as `write_bundle` and `verify_bundle`; `ModelError` if the adapter cannot be merged;
    `UsageError` for a remote model whose protocol the program does not speak.
    """
    remote = source.inference_config.remote if source.inference_config else None
    if remote is not None and not is_openai_compatible(remote):
        raise UsageError(
            "other-protocol",
            f"answer.py of a bundle cannot ask {remote.name}",
            at=source.name,
            got=f"provider {get_provider_name(remote)}, which does not speak OpenAI's protocol",
            hint="ask it with tunesmith chat; or export another contender with --contender",
        )
    merge, model = None, source.model
    if source.is_tuned:
        merge = source.write_merged_model(to)
        model = ResolvedModel.open(str(to))
    else:
        to.mkdir()
    if source.run is None or source.inference_config is None:
        return ExportProof(merge, dtype="float32")
    is_exact = _is_float32(source.run)
    # A merged model is written in float32 whatever it was trained in (docs/decisions/030).
    dtype = None if model is None else "float32" if is_exact or merge else "bfloat16"
    write_bundle(source.run, source.inference_config, model, dtype or "", to)
    proof = verify_bundle(source.run, source.inference_config, to, is_exact=is_exact)
    proof.write(to / PROOF_FILE)
    return ExportProof(merge, proof, dtype)


def _is_float32(folder: RunFolder) -> bool:
    """Whether the run computes in float32 with unquantized weights: then only the order of
    summation may differ.
    """
    from tunesmith.engine.model_loading import get_local_dtype

    recipe = folder.read_recipe()
    return get_local_dtype(recipe.training.dtype) == "float32" and not recipe.adapter.load_in_4bit


def write_bundle(
    folder: RunFolder, serving: InferenceConfig, model: ResolvedModel | None, dtype: str, to: Path
) -> None:
    """Write the parts of a bundle into the folder `to`. `model` is the model that answers: in a
    folder of its own, or in `to`.

    Errors: `RunError` if the search index is damaged; `OSError`.
    """
    programs = files("tunesmith.engine.standalone")
    names = {
        "answer.py": "answer_remote.py" if serving.remote else "answer_local.py",
        "messages.py": "messages.py",
    }
    if serving.index:
        names["retrieve.py"] = "retrieve.py"
        entries, vectors = read_index(folder.path / "index", serving.index)
        write_index(to, "index", entries, vectors)
        if serving.search != "bm25":
            # The bundle embeds questions at run time and must not depend on this machine's cache.
            shutil.copytree(resolve_embedding_model(DEFAULT_MODEL), to / "embedding")
    for name, source in names.items():
        write_atomically(to / name, programs.joinpath(source).read_text("utf-8"))
    settings = _build_settings(serving, to) | (
        _build_service_settings(serving, serving.remote)
        if serving.remote
        else _build_local_settings(serving, model, dtype, to)
    )
    write_atomically(to / "prompt.json", json.dumps(settings, ensure_ascii=False, indent=2) + "\n")
    write_atomically(to / "README.md", _format_readme(folder, serving, model))


def _build_settings(serving: InferenceConfig, to: Path) -> dict[str, Any]:
    retrieval = {
        "k": serving.k,
        "search": serving.search,
        "passages_head": PASSAGES_HEADER,
        "embedding_tokens": get_embedding_models()[DEFAULT_MODEL].context_tokens,
    }
    return {
        "contender": serving.contender,
        "system": serving.system,
        "template": serving.template,
        "instruction": serving.instruction,
        "shots": [{"messages": [message.as_dict() for message in shot]} for shot in serving.shots],
        "retrieval": retrieval if serving.index else None,
        "max_new_tokens": serving.max_new_tokens,
    }


def _build_local_settings(
    serving: InferenceConfig, model: ResolvedModel | None, dtype: str, to: Path
) -> dict[str, Any]:
    assert model is not None
    from tunesmith.engine.generation.json_constraint import WHITESPACE_OPTIONS

    place = Path(model.identity.folder).resolve()
    is_here = place == to.resolve()
    form = serving.output_constraint
    return {
        "labels": list(form.labels) if form else [],
        "is_calibrated": serving.is_calibrated,
        "json_schema": form.json_schema if form else None,
        "json_options": WHITESPACE_OPTIONS,
        "model": {
            "name": model.identity.name,
            "folder": "." if is_here else str(place),
            "files": {} if is_here else model.identity.files,
            "dtype": dtype,
            # No known limit: prompt.json needs a number, so take one that is never reached.
            "context_tokens": model.context_tokens or sys.maxsize,
        },
        "stop_ids": list(model.tokenizer.stop_ids),
        "end_of_turn": model.tokenizer.end_of_turn,
    }


def _build_service_settings(serving: InferenceConfig, remote: RemoteRecipe) -> dict[str, Any]:
    # The settings under which the answers were measured; see the remote completer.
    settings = {
        "temperature": 0,
        "seed": 0,
        "max_tokens": remote.max_tokens,
        **build_response_format(serving.output_constraint),
    }
    return {
        "service": {
            "endpoint": build_endpoint_url(remote.base_url),
            "model": remote.model,
            "api_key_env": remote.api_key_env,
            "settings": settings,
            "seconds": RetryPolicy().request_seconds,
            "wrapped_in": ANSWER_FIELD
            if serving.output_constraint and serving.output_constraint.labels
            else None,
        }
    }


def _format_readme(folder: RunFolder, serving: InferenceConfig, model: ResolvedModel | None) -> str:
    needs = ["numpy"] if serving.index else []
    if not serving.remote:
        needs += [
            "torch",
            "transformers",
            *(
                ["llguidance"]
                if serving.output_constraint and serving.output_constraint.json_schema
                else []
            ),
        ]
    lines = [
        f"# {serving.contender} of run {folder.id}",
        "",
        "Answers questions exactly as this contender did in the evaluation; tunesmith is not "
        "needed.",
        "",
        *([f"    pip install {' '.join(needs)}"] if needs else []),
        "    echo 'your question' | python answer.py",
        '    python answer.py --json < questions.jsonl      # {"messages": [...]} a line',
        "",
        "| file | what it is |",
        "|---|---|",
        ("| prompt.json | the full prompt around a question, and the output constraint |"),
        "| answer.py, messages.py | the program (short, easy to read) |",
    ]
    if serving.index:
        lines.append("| retrieve.py, index.jsonl, index.safetensors | the search and its index |")
    if serving.remote:
        variable = serving.remote.api_key_env
        lines += [
            "",
            f"The key is read from the environment variable {variable}. A setting that the service",
            'rejects can be removed from "settings" in prompt.json.',
        ]
    elif model is not None and serving.model == "base":
        lines += [
            "",
            f"The model is {model.identity.name}; its weights are not in this folder. To use "
            "another copy:",
            "`python answer.py --model FOLDER`; prompt.json has the SHA-256 of its files.",
        ]
    lines += [
        "",
        (
            f"{PROOF_FILE} lists how many of the stored answers it reproduces. A question that "
            "contains a control token of"
        ),
        "the model (such as an end-of-turn mark) is refused.",
    ]
    return "\n".join(lines) + "\n"


def verify_bundle(
    folder: RunFolder, serving: InferenceConfig, to: Path, *, is_exact: bool
) -> AnswersProof:
    """Run the bundle on every test example and compare. `is_exact`: it computes at the same
    precision as the run.

    A remote service is not called, because it may charge. Errors: `GateFailed` if the bundle fails,
    or if it answers differently although it is exact.
    """
    stored = {one.example: one for one in folder.read_answers(serving.contender).records}
    examples = (
        [one for one in folder.read(TestSet).examples if one.id in stored]
        if folder.has(TestSet)
        else []
    )
    # A remote bundle would be charged for every test example.
    if serving.remote or not examples:
        return AnswersProof(contender=serving.contender, compared=0, matching=0)
    asked = [one.prompt or (Message("user", one.question),) for one in examples]
    lines = [
        json.dumps({"messages": [message.as_dict() for message in prompt]}) for prompt in asked
    ]
    replies = _run_bundle(to, "\n".join(lines) + "\n", len(lines))
    differing = tuple(
        AnswerMismatch(example=one.id, stored=stored[one.id].text, reproduced=text)
        for one, text in zip(examples, replies, strict=True)
        if text != stored[one.id].text
    )
    proof = AnswersProof(
        contender=serving.contender,
        compared=len(replies),
        matching=len(replies) - len(differing),
        mismatches=differing,
    )
    if is_exact and proof.matching < MIN_MATCH_FRACTION * proof.compared:
        # One pair of answers shows more than a count of mismatches.
        first = differing[0]
        raise GateFailed(
            "bundle-differs",
            "bundle does not reproduce the answers of the run and was not written",
            at=str(folder.path),
            got=(
                f"{proof.sentence}; first difference: expected {first.stored[:80]!r}, got "
                f"{first.reproduced[:80]!r}"
            ),
            hint="report this; or use tunesmith chat RUN, which answers as measured",
        )
    return proof


def _run_bundle(to: Path, questions: str, count: int) -> list[str]:
    """The texts that answer.py prints, run with none of tunesmith's folders on its path."""
    done = subprocess.run(
        # -P keeps the current directory off sys.path, and the environment is rebuilt, so that an
        # import of tunesmith would fail.
        [sys.executable, "-P", str((to / "answer.py").resolve()), "--json"],
        input=questions,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=_build_environment(to),
    )
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != count:
        raise GateFailed(
            "bundle-fails",
            "answer.py of the bundle does not run on this machine; the bundle was not written",
            at=str(to),
            got=(
                f"exit code {done.returncode}, {len(lines):,} of {count:,} answers:"
                f" {done.stderr[-300:].strip()}"
            ),
            hint="report this; or use tunesmith chat RUN, which answers as measured",
        )
    try:
        return [json.loads(line)["text"] for line in lines]
    except (ValueError, KeyError, TypeError):
        raise RunError(
            "bundle-unreadable", "cannot read the answers of the bundle", at=str(to)
        ) from None


def _build_environment(to: Path) -> dict[str, str]:
    import os

    names = (
        "PATH",
        "HOME",
        "LANG",
        "OMP_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
    )
    # An allow list: PYTHONPATH or HF_* variables of this shell would hide what the bundle lacks.
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "PYTHONPATH": str(to.resolve()), "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}
