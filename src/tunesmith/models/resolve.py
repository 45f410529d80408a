"""Resolve a model name to a verified folder: embedded, local, hub name, or adapter."""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from tunesmith.errors import ModelError, truncate_list
from tunesmith.model_folder.adapter_settings import ADAPTER_SETTINGS, ADAPTER_WEIGHTS
from tunesmith.model_folder.model_files import (
    PICKLE_SUFFIXES,
    WEIGHT_INDEX_FILE,
    build_unreadable_error,
)
from tunesmith.models.embedded import (
    GgufConverter,
    get_embedded_folder,
    get_embedded_models,
    resolve_embedded_model,
)
from tunesmith.models.folder_inspection import inspect_adapter_folder, inspect_model_folder
from tunesmith.models.hub import HUB_NAME, fetch_from_hub, list_cached_hub_models, verify_blobs
from tunesmith.records import ModelIdentity, Run

STEERING_FILES = (ADAPTER_SETTINGS, "config.json", WEIGHT_INDEX_FILE)
WEIGHTS = (".safetensors", ".gguf", *PICKLE_SUFFIXES)
"""Suffixes of files that transformers or PEFT would load as weights."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One line of `tunesmith models`; `is_available` means usable without a network."""

    name: str
    source: Literal["embedded", "hub"]
    title: str
    is_available: bool
    folder: str


def resolve_model(
    name: str, revision: str | None = None, convert_gguf: GgufConverter | None = None
) -> ModelIdentity:
    """Identify exactly which weights a name refers to, with every file verified.

    `name`: an embedded model, a folder, or a hub name `org/name`. A folder holds a model, an
    adapter in PEFT's format, or a run, which stands for the model that it trained. `revision`
    applies to hub names only. `import_gguf` builds the embedded model when it is absent; without
    it an absent one is an error.
    Errors: `ModelError`, always with what to do.
    """
    if name in get_embedded_models():
        return resolve_embedded_model(name, convert_gguf)
    if is_folder_path(name):
        return _resolve_folder(name, convert_gguf)
    if HUB_NAME.fullmatch(name):
        folder = fetch_from_hub(name, revision)
        files, parameters = inspect_model_folder(folder)
        verify_blobs(folder, files)
        return ModelIdentity(
            name=name,
            source="hub",
            revision=folder.name,
            folder=str(folder),
            files=files,
            parameters=parameters,
        )
    raise _build_unknown_error(name)


def list_known_models() -> list[KnownModel]:
    """The embedded models, then the hub models cached on this machine."""
    embedded = [
        KnownModel(
            name,
            "embedded",
            model.title,
            get_embedded_folder(name).is_dir(),
            str(get_embedded_folder(name)),
        )
        for name, model in get_embedded_models().items()
    ]
    return embedded + [
        KnownModel(name, "hub", folder.name[:12], True, str(folder))
        for name, folder in list_cached_hub_models()
    ]


def is_folder_path(name: str) -> bool:
    """Whether a folder exists, or the name can only be a path: `./x`, `~/x`, `a/b/c`, `C:\\x`."""
    is_pathlike = name.startswith((".", "~", "/", os.sep)) or name.count("/") > 1 or "\\" in name
    return "\0" not in name and (is_pathlike or os.path.isdir(name))


def _expand_path(name: str) -> Path:
    # expanduser raises for an unknown user (`~nobody/x`), so only the plain `~` is expanded.
    return Path(name).expanduser() if re.match(r"~(/|$)", name) else Path(name)


def _resolve_folder(name: str, convert_gguf: GgufConverter | None) -> ModelIdentity:
    folder = _expand_path(name)
    for embedded in get_embedded_models():
        if folder == get_embedded_folder(embedded):
            return resolve_embedded_model(embedded, convert_gguf)
    try:
        if not folder.is_dir():
            found = "a file, not a folder" if folder.exists() else "no such folder"
            raise ModelError(
                "no-folder",
                "model folder not found",
                at=name[:300],
                got=found,
                hint=f"check the path; {_suggest_models()}",
            )
        _refuse_planted(folder)
        adapter = _find_adapter_folder(folder)
    except OSError as error:
        raise build_unreadable_error(folder, error) from None
    if adapter is not None:
        return _resolve_adapter(adapter, convert_gguf)
    if (folder / "run.json").is_file() and (folder / "model").is_dir():
        folder = folder / "model"
    files, parameters = inspect_model_folder(folder)
    _verify_run_files(folder, files)
    return ModelIdentity(
        name=name,
        source="folder",
        revision=None,
        folder=str(folder),
        files=files,
        parameters=parameters,
    )


def _refuse_planted(folder: Path) -> None:
    """Refuse files in a run's folder that steer model loading and that the run did not write.

    Files that our own loader ignores are refused too: transformers and PEFT would load them.
    Errors: `ModelError`.
    """
    if folder.name in ("adapter", "model") and (folder.parent / "run.json").is_file():
        folder = folder.parent
    if not (folder / "run.json").is_file():
        return
    known = Run.read(folder / "run.json").adapter_files
    own = "adapter" if ADAPTER_WEIGHTS in known else "model"
    places = {"": folder} | (
        {"adapter/": folder / "adapter", "model/": folder / "model"} if known else {}
    )
    planted = [
        f"{place}{path.name}"
        for place, inside in places.items()
        if inside.is_dir()
        for path in sorted(inside.iterdir())
        if (
            path.name in STEERING_FILES
            or path.name.endswith(WEIGHTS if not place else (*WEIGHTS, ".py"))
        )
        and not (place == f"{own}/" and path.name in known)
    ]
    if planted:
        raise ModelError(
            "planted",
            "run folder contains model files that the run did not write",
            at=str(folder),
            got=truncate_list(planted),
            hint="remove them; if you need that model, put it in a folder of its own",
        )


def _find_adapter_folder(folder: Path) -> Path | None:
    """The folder of the adapter in an adapter's or a run's folder; None when there is none."""
    places = (folder, folder / "adapter")
    # lexists: a dangling link counts as an adapter, so that it is reported and not passed over.
    return next((place for place in places if os.path.lexists(place / ADAPTER_SETTINGS)), None)


def _resolve_adapter(folder: Path, convert_gguf: GgufConverter | None) -> ModelIdentity:
    """The identity of the base model with the adapter's folder and files added."""
    files, settings = inspect_adapter_folder(folder)
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(base, str) or not base:
        raise ModelError(
            "no-base",
            "adapter does not name its base model",
            at=str(folder / ADAPTER_SETTINGS),
            got="no base_model_name_or_path",
            hint="add the base model's name or folder",
        )
    # Checked before resolving, because a base that names its own adapter would recurse forever.
    if is_folder_path(base) and _find_adapter_folder(_expand_path(base)) is not None:
        raise ModelError(
            "adapter-on-adapter",
            "base model of the adapter is itself an adapter",
            at=str(folder),
            got=base,
            hint=(
                "merge the other adapter into its model first (tunesmith export), and use "
                "the result as the base model"
            ),
        )
    identity = resolve_model(base, revision if isinstance(revision, str) else None, convert_gguf)
    _verify_run_files(folder, files, identity.files)
    both = identity.files | {f"adapter/{name}": sha256 for name, sha256 in files.items()}
    return identity.replace(adapter=str(folder), files=both)


def _verify_run_files(
    tuned: Path, files: Mapping[str, str], base_files: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Compare a run's files, and the base model below its adapter, with the run's hashes."""
    if tuned.name not in ("adapter", "model") or not (tuned.parent / "run.json").is_file():
        return
    run = Run.read(tuned.parent / "run.json")
    known = run.adapter_files
    # A recorded file that exists but is not listed is one that does not change answers.
    compared = [name for name in known if name in files or not (tuned / name).is_file()]
    added = [name for name in files if known and name not in known]
    changed = [
        f"{tuned.name}/{name}" for name in (*compared, *added) if files.get(name) != known.get(name)
    ]
    changed += [
        name
        for name, sha256 in run.trained_model.files.items()
        if base_files.get(name, sha256) != sha256
    ]
    if changed:
        raise ModelError(
            "changed",
            "files of this run have changed since they were written",
            at=str(tuned.parent),
            got=", ".join(changed),
            hint="restore them from a backup; or run the command again",
        )


def _suggest_models() -> str:
    names = ", ".join(model.name for model in list_known_models())
    return f"available locally: {names}; write a folder as ./NAME, a hub model as ORG/NAME"


def _build_unknown_error(name: str) -> ModelError:
    near = difflib.get_close_matches(
        name, [model.name for model in list_known_models()], n=3, cutoff=0.4
    )
    do = f"did you mean {' or '.join(near)}?" if near else _suggest_models()
    return ModelError("unknown", "model not found", at=name[:100], hint=do)
