"""What every test is held to: after it there is no thread, child process, descriptor or memory segment that it has made.

A test that must leave something says so: `@pytest.mark.leaves("thread", …)` (of "thread", "process", "descriptor", "memory").
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from hypothesis import Phase, settings

# the contract's checks are plain asserts in the package: without this a failing one would not say why
pytest.register_assert_rewrite("atonce.testing.contract")

# The same examples in each run, so that red means that something has changed; `--hypothesis-profile=search` looks for more.
settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate, Phase.shrink]
)
settings.register_profile("search", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("steady")

# Tests start programs elsewhere: a relative path to what is tested must hold there, too.
if "PYTHONPATH" in os.environ:
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, os.environ["PYTHONPATH"].split(os.pathsep)))

# A shell starts a background job with Ctrl-C ignored, and nohup one with SIGHUP; Python then leaves it so, here and in all that
# the tests start.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (getattr(signal, "SIGHUP", None), signal.SIG_DFL)):
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# What is measured on the way is kept here, not in the user's own cache folder.
CACHE = tempfile.TemporaryDirectory(prefix="atonce-tests-")
os.environ["XDG_CACHE_HOME"] = os.environ["LOCALAPPDATA"] = CACHE.name

# Seconds that what is ending may take to be gone, on a machine that is busy with other things.
PATIENCE = 10.0
FDS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else None
ME = psutil.Process()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "leaves(*kinds): this test may leave a thread, process, descriptor or memory")


def pytest_collection_finish() -> None:
    # Where a test stands for a full disk by how large a file may be, a module that is imported then would leave a part of its
    # bytecode behind, which Python 3.11 takes for all of it for ever. Until here it is kept: it is most of the time to begin.
    sys.dont_write_bytecode = True
    # And what was collected here stays: the garbage collections of tests, of which there are thousands, need not look at it.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Look before and after; what is still going is given time to go."""
    marker = request.node.get_closest_marker("leaves")
    kinds = [kind for kind in LOOK if marker is None or kind not in marker.args]
    before = {kind: set(LOOK[kind]()) for kind in kinds}
    yield
    left = {kind: _still_there(LOOK[kind], before[kind]) for kind in kinds}
    assert not any(left.values()), "left behind: " + "; ".join(f"{kind} {what}" for kind, what in left.items() if what)


@pytest.fixture(autouse=True, scope="session")
def what_stays_for_good_is_there_before_and_the_template_ends() -> Iterator[None]:
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()  # its first loop opens a pipe that lives as long as the process
    yield
    if process := sys.modules.get("atonce.placement.process"):
        process.shut_down()
        assert not [child for child in ME.children() if _is_template(child)]


def _still_there(look: Callable[[], dict[object, str]], before: set[object]) -> list[str]:
    until = time.monotonic() + PATIENCE
    collected = False
    while True:
        new = [said for key, said in look().items() if key not in before]
        if not new or time.monotonic() > until:
            return new
        if not collected:
            gc.collect()  # a cycle may hold what has no owner any more; that is not a leak
            collected = True
        time.sleep(0.01)


def _threads() -> dict[object, str]:
    return {thread: thread.name for thread in threading.enumerate() if not thread.name.startswith("pytest_timeout")}


def _processes() -> dict[object, str]:
    """Children and theirs, but for the template, which stays for the next run: its children, the workers, must not."""
    found: dict[object, str] = {}
    for child in _family():
        with contextlib.suppress(psutil.NoSuchProcess):
            if not _is_template(child):
                found[child] = f"{child.pid} {child.name()} ({child.status()})"
    return found


def _family() -> list[psutil.Process]:
    """Children and theirs. Where the kernel lists them they need not be looked for among all processes of the machine."""
    if not os.path.exists(f"/proc/self/task/{ME.pid}/children"):
        return ME.children(recursive=True)
    found: list[psutil.Process] = []
    pids = [ME.pid]
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as children:
                    pids += map(int, children.read().split())
    for pid in pids[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def _is_template(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        # a worker has the same command line, since it was forked from it: only the template is ours
        return process.ppid() == ME.pid and any("atonce.worker.template" in word for word in process.cmdline())
    return False


def _descriptors() -> dict[object, str]:
    found: dict[object, str] = {}
    process = sys.modules.get("atonce.placement.process")
    template = process.Template._current if process else None
    kept = template._control.fileno() if template else -1
    for name in os.listdir(FDS) if FDS else ():
        with contextlib.suppress(OSError):  # the one that `listdir` had open
            if int(name) != kept:
                target = os.readlink(f"{FDS}/{name}")
                found[name, target] = f"{name} → {target}"
    return found


def _memory() -> dict[object, str]:
    """Shared memory that is mapped."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        return {line.split()[0]: line.strip() for line in maps if "atonce-" in line}
    return {}


LOOK: dict[str, Callable[[], dict[object, str]]] = {
    "thread": _threads,
    "process": _processes,
    "descriptor": _descriptors,
    "memory": _memory,
}
