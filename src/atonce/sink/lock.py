"""One run an output: `Lock`, held from opening to closing."""

from __future__ import annotations

import os
import stat
from types import ModuleType

from atonce.errors import OutputError

from .files import SAFELY, sync_folder

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["Lock", "SideLock", "check_place", "open_locked"]


class Lock:
    """An exclusive lock on an open file, which the system itself drops when the process ends, however it ends.

    `flock`, not `lockf`: the latter would be dropped as soon as anything in this process closed another descriptor of
    the file. Where the system or the file system has no `flock`, a file `NAME.lock` stands for it; a killed run
    leaves that behind, so its message says what to do.
    """

    def __init__(self, fd: int, path: str) -> None:
        self._path = path
        self._file: str | None = None
        if fcntl is not None:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                raise _in_use(path) from None
            except OSError:  # not on this file system: some network ones
                pass
        try:
            os.close(os.open(f"{path}.lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise _in_use(path, f"if no other run is alive, remove {path}.lock") from None
        self._file = f"{path}.lock"

    def moved_to(self, fd: int) -> Lock:
        """The lock on another file, which is about to be renamed to this one's name."""
        return self if self._file is not None else Lock(fd, self._path)

    def release(self) -> None:
        """Remove the lock file, if there is one. A lock on the file itself ends when the file is closed."""
        if self._file is not None:
            os.unlink(self._file)
            self._file = None


def open_locked(path: str) -> tuple[int, Lock]:
    """The file at `path`, made (mode 0600) if it is not there, opened for reading and appending, and locked."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | SAFELY, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OutputError(f"{path} is not a regular file", hint="write to - and redirect that")
            lock = Lock(fd, path)
        except BaseException:
            os.close(fd)
            raise
        if _is_at(os.fstat(fd), path):
            sync_folder(path)
            return fd, lock
        # another run put a new file in its place, after we had opened and before we had locked the old one
        lock.release()
        os.close(fd)


def check_place(file: os.stat_result, path: str) -> None:
    """What is written to a file whose name is gone is lost with the last descriptor of it, without an error of the system's."""
    if not _is_at(file, path):
        raise OutputError(
            f"{path} is not there any more, or is another file: it was moved, removed or replaced during the run",
            hint="put it back if it was moved, then run the same command again",
        )


def _is_at(file: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(file, os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _in_use(path: str, hint: str = "wait until it has ended, or name another output") -> OutputError:
    return OutputError(f"another run is writing to {path}", hint=hint)


class SideLock:
    """The lock of an output that is not one file of ours: a file `PATH.lock` beside it, removed when it is let go.

    What a killed run leaves of it is in nobody's way: it is the lock on it that counts.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._lock: Lock | None = None

    def take(self) -> None:
        """Raises OutputError where another run has it."""
        try:
            self._fd, self._lock = open_locked(f"{self._path}.lock")
        except OutputError as error:
            error.what = error.what.replace(f"{self._path}.lock", self._path.rstrip("/" + os.sep))
            raise

    def release(self) -> None:
        """A second call does nothing."""
        if self._lock is not None:
            if _is_at(os.fstat(self._fd), f"{self._path}.lock"):  # else somebody has removed it, and it may be another run's
                os.unlink(f"{self._path}.lock")  # before it is unlocked: else another run's file would go
            self._lock.release()
            os.close(self._fd)
            self._lock = None
