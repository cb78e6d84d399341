"""Ctrl-C, SIGTERM and a terminal that is closed (SIGHUP): the first ends the run in good order, the second at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["Signalled", "interruptible"]

HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


class Signalled(KeyboardInterrupt):
    """A signal asked for the end. A KeyboardInterrupt whichever signal it was, so that all else treats them alike."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """In the block, SIGINT, SIGTERM and SIGHUP raise Signalled; after the first, SIGINT and SIGTERM have their default effect:
    death.

    A terminal that is closed sends SIGHUP, and so does the shell in it: a second one is ignored, after the block too.
    A signal that is ignored, as a shell has it for what it runs in the background and nohup for SIGHUP, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asks = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP is not None else []))
    numbers = [each for each in asks if signal.getsignal(each) is not signal.SIG_IGN]
    came: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN if each == HANGUP else signal.SIG_DFL)
        came.append(number)
        raise Signalled(number)

    before = [signal.signal(number, ask) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            if number != HANGUP or HANGUP not in came:
                signal.signal(number, handler)
