"""Waits that Ctrl-C ends also when the signal did not find the main thread in its system call."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from atonce.worker.waits import join, wait

# The signal goes to another thread, so the main one's system call goes on.
PROGRAM = """
import signal, sys, threading, traceback
from atonce.worker.waits import join, wait

never = threading.Event()
main = threading.get_ident()

def press():
    while not any(frame.name in ("join", "wait") for frame in traceback.extract_stack(sys._current_frames()[main])[1:2]):
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    never.wait()

presses = threading.Thread(target=press, daemon=True)
presses.start()
try:
    {waits}
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("waits", ["join(presses)", "wait(never)"])
def test_ctrl_c_ends_it(waits: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(waits=waits)], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "interrupted\n"


def test_join_says_whether_the_thread_has_ended() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    assert not join(thread, 0.0)
    assert not join(thread, 0.01)
    go.set()
    assert join(thread)
    wait(go)
