"""`python -m atonce.lab`: the server from a shell, and, with --child, under a `Lab` object."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

from atonce.errors import UsageError

from .config import Addresses, Config, LoopName, OverLimit
from .server import serve

OPTIONS: Sequence[tuple[str, type, str]] = (
    ("--hosts", int, "addresses to listen on, from 127.0.0.1 upwards"),
    ("--port", int, "the same on every address; 0: a free one"),
    ("--latency", float, "seconds between a request and its answer"),
    ("--connection-cost", float, "seconds of handshake per new connection, one after another on each host"),
    ("--max-connections", int, "connections one host serves at once"),
    ("--seed", int, "of the bodies' content and of every chance the server takes"),
)
CHOICES: Sequence[tuple[str, Sequence[str], str]] = (
    ("--over-limit", get_args(OverLimit), "a connection over the limit waits, is reset, or is answered 503"),
    ("--loop", get_args(LoopName), "event loop"),
)


def main(arguments: Sequence[str] | None = None, program: str = "python -m atonce.lab") -> int:
    parser = _parser(program)
    options = vars(parser.parse_args(arguments))
    child = options.pop("child")
    try:
        config = Config(**options)
    except UsageError as error:
        parser.error(str(error))
    if child:
        return _serve_parent(config)
    try:
        serve(config)
    except KeyboardInterrupt:
        return 0
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="An HTTP/1.1 server on loopback that behaves, and misbehaves, as told, and counts what it saw.",
        epilog=_paths(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    for option, kind, text in OPTIONS:
        name = option.removeprefix("--").replace("-", "_")
        add(option, type=kind, metavar=kind.__name__, default=getattr(Config(), name), help=f"{text} (%(default)s)")
    for option, choices, text in CHOICES:
        name = option.removeprefix("--").replace("-", "_")
        add(option, choices=choices, default=getattr(Config(), name), help=f"{text} (%(default)s)")
    add(
        "--behaviour",
        dest="behaviours",
        action="append",
        default=[],
        metavar="NAME",
        help="what a host does on every path: a path below without its slash (truncated/1000), or a door; once for each host",
    )
    add("--child", action="store_true", help=argparse.SUPPRESS)
    return parser


def _paths() -> str:
    from .doors import DOORS
    from .table import TABLE

    rows = ["paths, by any method:"]
    rows += [f"  {row.usage}\n      {row.help}" for row in TABLE.values()]
    rows += ["", "doors: hosts that misbehave before a request is read (--behaviour NAME):"]
    rows += [f"  {name}\n      {row.help}" for name, row in DOORS.items()]
    return "\n".join(rows)


def _serve_parent(config: Config) -> int:
    """Serve the process at the other end of stdin and stdout: tell it one line of JSON, and end when it does."""
    # Ctrl-C reaches the whole process group, but when to end is the parent's to say: its run may have much to finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        serve(config, _tell)
    except UsageError as error:
        print(json.dumps({"error": error.what, "hint": error.hint}), flush=True)
        return error.exit_code
    return 0


def _tell(addresses: Addresses) -> None:
    print(json.dumps(asdict(addresses)), flush=True)


def _end_with_stdin() -> None:
    """The parent never writes: the end of the pipe is the end of the parent.

    A thread, since Windows' loops cannot watch a pipe; `os._exit`, since nothing is to be saved and the loop may hang.
    """
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
