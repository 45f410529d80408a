"""Files: written atomically, and identified by their SHA-256.

Everything that tunesmith writes goes through `write_atomically`, so that a crash, a full disk or a
Ctrl-C leaves the previous file. The home folder (`TUNESMITH_HOME`, else `~/.tunesmith`) holds what
can be fetched again.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from tunesmith import failpoints
from tunesmith.temporary_files import make_temporary_path


def get_home_folder() -> Path:
    """The folder of caches and the default store: `$TUNESMITH_HOME`, else `~/.tunesmith`. Not
    created here.
    """
    return Path(os.environ.get("TUNESMITH_HOME") or Path.home() / ".tunesmith")


SPECIAL_FILE_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
"""What may be in place of a file. Opening or reading a pipe or a device may block forever."""


def open_regular_file(path: Path | str) -> BufferedReader:
    """Open a file for reading; a symbolic link is followed.

    Every file from outside is opened here. It is opened without blocking and checked after opening,
    so it cannot be exchanged between check and use. Errors: `OSError`, also for a pipe, a socket, a
    device or a folder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # the error of opening a socket
            raise OSError(errno.EINVAL, "a socket, not a file", str(path)) from None
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for is_kind, name in SPECIAL_FILE_KINDS if is_kind(mode)), "special")
            raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular_file(path: Path | str, max_bytes: int | None = None) -> bytes:
    """The content of a file. Errors: as `open_regular_file`; `OSError` over `max_bytes`."""
    with open_regular_file(path) as file:
        if max_bytes is None:
            return file.read()
        # One byte more than allowed: the size reported by stat may change while reading.
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        found = f"more than {max_bytes:,} bytes"
        raise OSError(errno.EFBIG, found, str(path))
    return content


def read_text_file(path: Path | str, errors: str = "strict") -> str:
    r"""The UTF-8 text of a file without a byte-order mark, with line endings as \n.

    Errors: as `open_regular_file`; `UnicodeDecodeError`.
    """
    text = read_regular_file(path).decode("utf-8-sig", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def compute_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, read in chunks."""
    with open_regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def get_path_kind(path: Path) -> str:
    """`file`, `folder`, `nothing`, or another kind such as `a symbolic link`.

    Nothing is followed or opened: a link or a pipe in a folder from elsewhere must not redirect
    what is read, written or removed. Errors: `OSError` if the path cannot be examined.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something unknown")


def is_real_folder(path: Path) -> bool:
    """Whether the path is a real folder, not a link to one."""
    return get_path_kind(path) == "folder"


def read_own_file(path: Path) -> bytes:
    """The content of a file that this program wrote: a link is not followed, a pipe does not block.

    Errors: `OSError`, whose message says what is there instead.
    """
    if (found := get_path_kind(path)) not in ("file", "folder", "nothing"):
        raise OSError(errno.EINVAL, f"{found}, not a file", str(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def as_os_error(error: Exception) -> OSError:
    """The operating system's error inside a library's: `... I/O error: No space left on device (os
    error 28)`.
    """
    if isinstance(error, OSError):
        return error
    # Rust libraries (safetensors) put the errno into the message text only.
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))


def hash_folder(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file in a folder and its subfolders, sorted; empty if there
    is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): compute_sha256(path) for path in paths}


def sync_folder(folder: Path) -> None:
    """Make a rename inside this folder survive a power cut (fsync of the directory)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; if the block succeeds it replaces `path`, else it is
    removed.

    The temporary file is in the same folder, so the rename never crosses a file system. The user's
    umask determines its permissions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = make_temporary_path(path)
    os.close(
        os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
        )
    )
    try:
        yield temporary
        with temporary.open("rb") as file:
            # Before the rename: otherwise a power cut may leave the new name with an empty file.
            os.fsync(file.fileno())
        failpoints.hit("files.rename", temporary)
        temporary.replace(path)
        failpoints.hit("files.renamed", path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` (text as UTF-8) in one step."""
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
