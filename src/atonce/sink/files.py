"""Files written with care: what all outputs share."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator

from atonce.errors import OutputError

__all__ = ["SAFELY", "append_whole", "sync_folder", "trouble", "write_all"]

# O_NOFOLLOW: a link in place of an output could lead what we write anywhere. Windows has neither it nor O_CLOEXEC,
# but O_BINARY.
SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_WORDS = {
    errno.ENOSPC: ("there is no space left", "make room"),
    errno.EDQUOT: ("your disk quota is used up", "make room"),
    errno.EFBIG: ("the file would become too big", "raise `ulimit -f`"),
    errno.EACCES: ("it may not be written", "check its permissions"),
    errno.EPERM: ("it may not be written", "check its permissions"),
    errno.EROFS: ("the file system is read-only", "name an output elsewhere"),
    errno.EMFILE: ("this process has too many files open", "raise `ulimit -n`, or lower --concurrency"),
    errno.ENFILE: ("the system has too many files open", "end something else first"),
    errno.EBADF: ("it is closed", "open it"),
    errno.ENOENT: ("its folder does not exist", "make the folder"),
    errno.ENOTDIR: ("a part of its path is not a folder", "name another path"),
    errno.EEXIST: ("what is there is no folder", "name another output (- is stdout)"),
    errno.EISDIR: ("it is a folder", "end its name with / to write a folder"),
    errno.ENAMETOOLONG: ("its name is too long", "name another output"),
    errno.ELOOP: ("it is a symbolic link", "name the file that it points to"),
    errno.EIO: ("the device failed", "look into the system's log"),
}


@contextlib.contextmanager
def trouble(path: str) -> Iterator[None]:
    """Raises an OSError of the block as OutputError: which output, why, and what to do."""
    try:
        yield
    except BrokenPipeError:  # nobody reads any more, which is not the output's fault
        raise
    except OSError as error:
        reason, hint = _WORDS.get(error.errno or 0, (error.strerror or str(error), "see what is wrong with it"))
        elsewhere = os.fspath(error.filename) if error.filename and os.fspath(error.filename) != path else None
        raise OutputError(
            f"cannot write to {path}: {reason}", item=elsewhere, hint=f"{hint}, then run the same command again"
        ) from error


def new_file(path: str, at: int | None = None) -> int:
    """For a body; `at`: an open folder that `path` is below. 0666 less the umask, as any other program writes its files."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o666, dir_fd=at)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """All of it: a single `os.write` may stop short, on a full disk for one."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def append_whole(fd: int, pieces: Iterable[bytes | memoryview], end: int) -> int:
    """All of them behind `end`, where the file is then cut again if one fails, or is interrupted. Returns the new end."""
    size = end
    try:
        for piece in pieces:
            write_all(fd, piece)
            size += len(piece)
    except BaseException:  # Ctrl-C as well, between two writes
        with contextlib.suppress(OSError):  # what has gone wrong first is what is told
            os.ftruncate(fd, end)
        raise
    return size


def sync_folder(path: str) -> None:
    """Have the name of the file at `path` survive a power cut, where a folder can be synced (not on Windows)."""
    if os.name == "posix":
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
