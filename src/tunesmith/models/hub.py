"""Hugging Face hub models: safetensors, JSON and templates of one commit in the hub's cache."""

import re
from pathlib import Path

from tunesmith.errors import ModelError

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
DOWNLOAD_PATTERNS = ["*.safetensors", "*.json", "*.jinja"]
SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch_from_hub(name: str, revision: str | None) -> Path:
    """The folder of one commit of a hub model, named after it. A cached one needs no network.

    Errors: `ModelError` when the model, revision or network is missing, or access is denied.
    """
    # Imported here because huggingface_hub takes long to import and most runs never use the hub.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{name} {revision or ''}".strip()
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=DOWNLOAD_PATTERNS))
    # The order matters: GatedRepoError is a subclass of RepositoryNotFoundError, and all of these
    # are HfHubHTTPError.
    except GatedRepoError:
        raise ModelError(
            "gated",
            "gated model: its license must be accepted on the hub first",
            at=where,
            hint="accept the license on the model's page, then log in with `hf auth login`",
        ) from None
    except RevisionNotFoundError:
        raise ModelError(
            "no-revision",
            "revision not found on the hub",
            at=where,
            hint="pass a branch, tag or commit",
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            "unknown",
            "model not found on the hub, or it is private",
            at=where,
            hint="check the name; for a private model run `hf auth login`",
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            "offline",
            "model is not downloaded and the hub cannot be reached",
            at=where,
            got=str(error).splitlines()[0][:200],
            hint=(
                "check the network; or use a local folder or the embedded model (`tunesmith "
                "models` lists local models)"
            ),
        ) from None
    return folder


def verify_blobs(folder: Path, files: dict[str, str]) -> None:
    """Compare files with the hub's cache, which names large blobs by their SHA-256.

    Errors: `ModelError` when a file has changed since the download.
    """
    # Small files are named by their git SHA-1 (40 digits) instead and are skipped.
    names = {name: (folder / name).resolve().name for name in files}
    changed = [
        name for name, blob in names.items() if SHA256.fullmatch(blob) and blob != files[name]
    ]
    if changed:
        raise ModelError(
            "changed",
            "downloaded model files have changed",
            at=str(folder),
            got=", ".join(changed),
            hint="delete this folder; the model is downloaded again",
        )


def list_cached_hub_models() -> list[tuple[str, Path]]:
    """(name, folder) of every commit in the hub's cache that has weights and a tokenizer."""
    from huggingface_hub.constants import HF_HUB_CACHE

    found = []
    for folder in sorted(Path(HF_HUB_CACHE).glob("models--*/snapshots/*")):
        name = folder.parts[-3].removeprefix("models--").replace("--", "/")
        if (
            HUB_NAME.fullmatch(name)
            and (folder / "tokenizer.json").is_file()
            and any(folder.glob("*.safetensors"))
        ):
            found.append((name, folder))
    return found
