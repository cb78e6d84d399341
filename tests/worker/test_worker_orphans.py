"""No worker outlives its caller, whatever it is doing and however the caller ends; nor does what an item has started."""

from __future__ import annotations

import contextlib
import operator
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from atonce.plan.calibration import nothing
from atonce.worker import wire
from atonce.worker.channel import Outgoing, pack
from atonce.worker.context import dump_context
from atonce.worker.job import Cells
from atonce.worker.talk import manners

pytestmark = [pytest.mark.timeout(60, method="signal"), pytest.mark.slow]

# What a worker may be doing when its caller ends. Each writes its process ids into the folder, then never returns.
DOING = ("computes", "is stopped", "holds the GIL in C", "ignores SIGTERM", "has started a program", "has workers of its own")

CALLER = """
    import ctypes, os, signal, subprocess, sys, time
    from pathlib import Path
    import atonce

    folder, doing, death = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3]

    def is_here(name, *pids):
        (folder / "new").mkdir(exist_ok=True)
        temporary = folder / "new" / str(os.getpid())
        temporary.write_text(" ".join(map(str, [os.getpid(), *pids])))
        temporary.rename(folder / name)

    def until(true):
        while not true():
            time.sleep(0.005)

    def hang(item):
        is_here("inner " + item)
        time.sleep(600)

    def work(item):
        if item == "waits for the others":
            until(lambda: all((folder / name).exists() for name in doing))
            return
        if item == "has workers of its own":
            is_here(item)
            list(atonce.map(hang, ["worker"], model="processes", parallelism=1))
        if item == "has started a program":
            is_here(item, subprocess.Popen(["sleep", "600"]).pid)
            time.sleep(600)
        if item == "ignores SIGTERM":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        is_here(item)
        if item == "computes":
            while True:
                pass
        if item == "is stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        if item == "holds the GIL in C":
            ctypes.PyDLL(None).sleep(600)
        time.sleep(600)

    outcomes = atonce.stream(work, ["waits for the others", *doing], model="processes", parallelism=1 + len(doing))
    next(outcomes)
    if "has workers of its own" in doing:
        until((folder / "inner worker").exists)
    child = 0
    if death == "while a child forked by C code lives":
        child = ctypes.PyDLL(None).fork()  # Python knows nothing of it, and closes nothing in it
        if child == 0:
            time.sleep(600)
            os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    if death == "SIGKILL" or death == "while a child forked by C code lives":
        os.kill(os.getpid(), signal.SIGKILL)
    if death == "SIGKILL, and the template's as well":
        import psutil
        (template,) = psutil.Process().children()
        template.kill()
        os.kill(os.getpid(), signal.SIGKILL)
    if death == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    if death == "os._exit":
        os._exit(7)
    if death == "an exception":
        raise RuntimeError("as it happens")
    if death == "another program in its place":
        os.execv(sys.executable, [sys.executable, "-c", "import sys; sys.stdin.read()"])
    # else: the end of the script, with the iterator open
"""


@pytest.mark.parametrize(
    "death",
    [
        "SIGKILL",
        "SIGTERM",
        "os._exit",
        "an exception",
        "the end of the script",
        "another program in its place",
        pytest.param("while a child forked by C code lives", marks=pytest.mark.skipif(sys.platform != "linux", reason="pidfd")),
        pytest.param("SIGKILL, and the template's as well", marks=pytest.mark.skipif(sys.platform != "linux", reason="prctl")),
    ],
)
def test_no_worker_outlives_its_caller(death: str, tmp_path: Path) -> None:
    script, folder = tmp_path / "caller.py", tmp_path / "pids"
    script.write_text(textwrap.dedent(CALLER), encoding="utf-8")
    folder.mkdir()
    # what an item has started is ended by the template: where that is killed, too, nobody is left to do so
    doing = [what for what in DOING if "template" not in death or what != "has started a program"]
    caller = subprocess.Popen(
        [sys.executable, str(script), str(folder), ",".join(doing), death],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    forked = 0
    workers: list[psutil.Process] = []
    try:
        assert caller.stdin is not None
        assert caller.stdout is not None
        forked = int(caller.stdout.readline())
        pids = [int(pid) for file in folder.iterdir() if file.is_file() for pid in file.read_text().split()]
        assert len(pids) == len(doing) + ("has workers of its own" in doing) + ("has started a program" in doing)
        workers = [psutil.Process(pid) for pid in pids]
        assert all(worker.is_running() for worker in workers)
        caller.stdin.write("go\n")
        caller.stdin.flush()
        _, left = psutil.wait_procs(workers, timeout=30)
        assert not left, [(folder_of(folder, process.pid), process) for process in left]
        assert not forked or psutil.pid_exists(forked)
    finally:
        if forked:
            os.kill(forked, signal.SIGKILL)
        for process in workers:  # of a test that fails
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        caller.stdin.close()
        caller.kill()
        caller.wait()
        caller.stdout.close()


def folder_of(folder: Path, pid: int) -> list[str]:
    """What the process of this number was doing."""
    return [file.name for file in folder.iterdir() if file.is_file() and str(pid) in file.read_text().split()]


def fails() -> None:
    raise RuntimeError("there is no resource")


WORKER = (
    "import socket, sys; from atonce.worker.main import main; main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))"
)


@pytest.mark.parametrize(
    ("runner", "function", "setup"),
    [
        ("call", operator.neg, None),
        ("thread", operator.neg, None),
        ("coroutine", nothing, None),
        ("call", operator.neg, fails),
        ("thread", operator.neg, fails),
    ],
)
def test_a_worker_whose_caller_has_gone_has_nobody_to_complain_to(
    runner: str, function: Callable[..., Any], setup: Callable[[], Any] | None
) -> None:
    """It was given work, and none of what it has to say finds anybody: it ends, and its terminal stays as it was."""
    hello = {
        "path": [str(Path(__file__).parent), *sys.path],
        "cwd": os.getcwd(),
        "environment": dict(os.environ),
        "number": 0,
        "manners": manners(),
        "runner": runner,
        "slots": 2,
        "most": 2,
        "timeout": None,
        "share": 1,
        "weighed": True,
        "shared": True,
        "context": dump_context(None),
        "pace": None,
        "authkey": None,
    }
    near, far = socket.socketpair()
    with near, far, tempfile.TemporaryFile() as cells:
        cells.truncate(Cells.size(2))
        outgoing = Outgoing(near)
        outgoing.send(wire.frame(wire.HELLO, wire.dumps(hello)))
        outgoing.send(wire.frame(wire.JOB, wire.dumps((function, setup))))
        outgoing.send(pack(wire.BATCH, wire.dump_batch(range(100), range(100))))
        near.close()
        fds = far.fileno(), cells.fileno()
        done = subprocess.run(
            [sys.executable, "-c", WORKER, *map(str, fds)], pass_fds=fds, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
