"""The template: a small process that forks workers on request, so that a worker starts in milliseconds.

    near side ──(SPAWN + socket, cells, status pipe)──► template ──fork──► worker
        ▲                                                  │
        └───────────── status pipe: pid, later its exit status ◄── waitpid

It is a process of its own because forking the user's process is unsafe (threads, locks, open connections): this one has one
thread and has imported nothing but what a worker needs. Unlike multiprocessing's forkserver it never imports the user's
`__main__` again, so a script needs no guard, and it belongs to this near side alone. It runs in a session of its own, so
that Ctrl-C in the terminal reaches the near side only; when the near side is gone, however it ended, the template
sees the end of its control socket and kills every worker, each with its own children (a process group a worker).

Where forking is unsafe at all (macOS), `mode` is "spawn": the template starts fresh interpreters instead.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import subprocess
import sys

__all__ = ["SPAWN", "STATUS", "main"]

SPAWN = b"S"
STATUS = struct.Struct("<q")


def main(control_fd: int, mode: str, near_side: int) -> None:
    """Serve SPAWN requests until the near side, the process of this number, is gone."""
    _import_ahead()
    gc.collect()
    gc.freeze()  # a collection in a worker looks at none of this: that would write to each page, and so copy it
    control = socket.socket(fileno=control_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _ignore)
    children: dict[int, int] = {}  # pid → status pipe
    ours, watched = [control_fd, woken, waker], [control_fd, woken]
    if (near := _watch(near_side)) is not None:
        ours.append(near)
        watched.append(near)
    try:
        while True:
            ready, _, _ = select.select(watched, [], [])
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
                _reap(children)
            if near in ready:
                return
            if control_fd in ready:
                message, fds, _, _ = socket.recv_fds(control, 1, 3)
                if not message:
                    return
                _start(fds, mode, children, ours)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        control.close()


def _watch(pid: int) -> int | None:
    """A descriptor that can be read once the process is gone (Linux): C code that forked may hold its end of our socket."""
    with contextlib.suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return None


def _import_ahead() -> None:
    """What every worker needs, imported once, before the first fork."""
    import asyncio  # noqa: F401 - not each worker does, but it is long in coming
    import ctypes  # noqa: F401

    from . import main, wire  # noqa: F401
    from .runners import call, thread  # noqa: F401


def _start(fds: list[int], mode: str, children: dict[int, int], ours: list[int]) -> None:
    try:
        connection_fd, cells_fd, status_fd = fds
        pid = _spawned(connection_fd, cells_fd) if mode == "spawn" else os.fork()
    except (OSError, ValueError):  # no more processes, or no descriptors for what was sent: the other workers go on,
        for fd in fds:  # and the end of its status pipe says that there is no such worker
            os.close(fd)
        return
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # a status pipe that a sibling held open would hide a death
            for fd in [*ours, status_fd, *children.values()]:
                os.close(fd)
            from .main import main

            main(socket.socket(fileno=connection_fd), cells_fd)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    with contextlib.suppress(OSError):  # it has done so itself, or is gone already
        os.setpgid(pid, pid)
    os.close(connection_fd)
    os.close(cells_fd)
    children[pid] = status_fd
    with contextlib.suppress(OSError):  # the near side is gone, which the control socket says next
        os.write(status_fd, STATUS.pack(pid))


def _spawned(connection_fd: int, cells_fd: int) -> int:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; import socket; from atonce.worker.main import main; "
        f"main(socket.socket(fileno={connection_fd}), {cells_fd})"
    )
    child = subprocess.Popen([sys.executable, "-c", code], pass_fds=(connection_fd, cells_fd), process_group=0)
    child.returncode = 0  # reaped by `_reap`, not by Popen
    return child.pid


def _reap(children: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        status_fd = children.pop(pid, None)
        if status_fd is not None:
            with contextlib.suppress(OSError):  # the near side no longer listens
                os.write(status_fd, STATUS.pack(os.waitstatus_to_exitcode(status)))
            os.close(status_fd)
            # what the worker started and left running goes with it
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def _ignore(*_: object) -> None:
    """A handler that does nothing: without one, `set_wakeup_fd` hears nothing of the signal."""
