"""An exported folder -> the contender in it, ready to answer here as its own `answer.py` does.

Everything is in `prompt.json` and the index beside it (`bundle.py` writes them); the weights are in
the folder, or where prompt.json says, with the SHA-256 of their files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import read_regular_file
from tunesmith.contenders.contender_loading import LoadedContender, build_stored_index
from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.contenders.prompting.prompt_builder import PromptBuilder
from tunesmith.contenders.retrieval.prompt_augmentation import RetrievalIndex
from tunesmith.errors import ModelError, truncate_list
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.providers.openai_compatible import RemoteCompleter
from tunesmith.records import Completer, Example, Message, OutputConstraint, RemoteRecipe

PROMPT_FILE = "prompt.json"
_PRECISIONS: Mapping[str, Any] = {"float32": "float32", "bfloat16": "bf16"}


def is_bundle(folder: Path) -> bool:
    """Whether the folder was written by `tunesmith export`."""
    return (folder / PROMPT_FILE).is_file()


def load_bundle(
    folder: Path, max_new_tokens: int | None = None, batch_size: int = 32
) -> LoadedContender:
    """The contender of an exported folder, with its weights loaded.

    Errors: `ModelError` if the folder is damaged or the model is not the one that was exported;
    `RunError` if the search index is damaged.
    """
    try:
        settings = json.loads(read_regular_file(folder / PROMPT_FILE))
        return _build_contender(folder, settings, max_new_tokens, batch_size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            "damaged-export",
            "cannot read the exported folder",
            at=str(folder / PROMPT_FILE),
            got=f"{type(error).__name__}: {error}",
            hint="export the run again",
        ) from None


def _build_contender(
    folder: Path, settings: Mapping[str, Any], max_new_tokens: int | None, batch_size: int
) -> LoadedContender:
    retrieval = settings["retrieval"]
    index = None
    if retrieval:
        search = {"both": "hybrid"}.get(retrieval["search"], retrieval["search"])
        index = build_stored_index(folder, "index", search)
    limit = max_new_tokens or settings["max_new_tokens"]
    if "service" in settings:
        model, completer = None, _open_service(settings, max_new_tokens)
    else:
        model = _load_model(folder, settings["model"], batch_size)
        completer = _create_completer(model, settings, limit)
    prompting = PromptBuilder(
        instruction=settings["instruction"],
        shots=tuple(_read_shot(shot["messages"]) for shot in settings["shots"]),
        template=settings["template"],
        index=index,
        k=retrieval["k"] if retrieval else 0,
        context_budget=_build_budget(model, index, limit),
    )
    name = f"{settings['contender']} of {folder.name}"
    return LoadedContender(name, "", settings["system"], prompting, completer, model)


def _load_model(folder: Path, written: Mapping[str, Any], batch_size: int) -> LocalModel:
    resolved = ResolvedModel.open(str((folder / written["folder"]).absolute()))
    found, expected = resolved.identity.files, written["files"]
    changed = sorted(name for name in expected if found.get(name) != expected[name])
    if changed:
        raise ModelError(
            "changed",
            "base model differs from the exported one",
            at=resolved.identity.folder,
            got=truncate_list(changed),
            hint="put the model back, or export again",
        )
    return resolved.load(_PRECISIONS[written["dtype"]], batch_size)


def _create_completer(model: LocalModel, settings: Mapping[str, Any], limit: int) -> Completer:
    if not settings["labels"] and settings["json_schema"] is None:
        return model.create_completer(limit)
    form = OutputConstraint(labels=tuple(settings["labels"]), json_schema=settings["json_schema"])
    return model.create_completer(limit, form, is_calibrated=settings["is_calibrated"])


def _open_service(settings: Mapping[str, Any], max_new_tokens: int | None) -> Completer:
    service = settings["service"]
    recipe = RemoteRecipe(
        name="service",
        base_url=service["endpoint"],
        model=service["model"],
        # folders of earlier versions say it in other words
        api_key_env=service.get("api_key_env") or service["key_variable"],
        max_tokens=max_new_tokens or service["settings"]["max_tokens"],
    )
    return RemoteCompleter(recipe, _read_service_form(service))


def _read_service_form(service: Mapping[str, Any]) -> OutputConstraint | None:
    """The output constraint that the request states. Labels are the allowed values of a field."""
    stated = service["settings"].get("response_format")
    if stated is None:
        return None
    schema = stated["json_schema"]["schema"]
    if service["wrapped_in"] is None:
        return OutputConstraint(json_schema=schema)
    return OutputConstraint(labels=tuple(schema["properties"][service["wrapped_in"]]["enum"]))


def _build_budget(
    model: LocalModel | None, index: RetrievalIndex | None, limit: int
) -> ContextBudget | None:
    if model is None or index is None:
        return None
    return ContextBudget(model.resolved.tokenizer, model.loaded.context_length - limit)


def _read_shot(messages: list[dict[str, Any]]) -> Example:
    return Example(line=0, messages=tuple(Message(one["role"], one["content"]) for one in messages))
