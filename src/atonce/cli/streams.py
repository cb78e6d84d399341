"""The standard streams of a program: closed (`opened`), full (`tell`), or with nobody at their other end (`left`)."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

__all__ = ["left", "opened", "tell"]


def opened() -> None:
    """Have all three, of which a job of cron or a service may have none.

    A number that is free goes to the next file that is opened, and what anything in this process says on stderr would go into
    an output. What is said on such a stderr goes nowhere; reading such a stdin and writing such a stdout fail.
    """
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_WRONLY)  # takes the lowest that is free
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            # not closed at the end: whoever has the number then is no affair of this object
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def left(stream: TextIO) -> None:
    """Nobody reads it any more, or it is full: leave Python nothing to flush into it at its end."""
    try:
        fd = stream.fileno()
    except OSError:  # it is none of the system's
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)


def tell(text: str, *, nl: bool = True) -> None:
    """What was asked for, on stdout. Raises OutputError where that cannot be written."""
    from atonce.sink.files import trouble

    with trouble("stdout"):
        try:
            click.echo(text, nl=nl)
            sys.stdout.flush()
        except OSError:
            left(sys.stdout)
            raise
