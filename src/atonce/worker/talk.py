"""What a worker says beside its results: log records and warnings, which its caller's own loggers and filters then show.

    far side: root logger, warnings.showwarning ──► Talk ──TALK frames──► hear: logger.handle, warnings.warn_explicit :near side

Both sides of it are here. The far side decides what is worth a frame with the near side's levels and filters (`manners`), the
near side what becomes of it. A worker process whose records meet handlers of its own keeps them to itself.
"""

from __future__ import annotations

import builtins
import contextlib
import logging
import os
import pickle
import re
import sys
import threading
import traceback
import types
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

from . import wire
from .outbox import Attendant

__all__ = ["Line", "Talk", "hear", "manners"]

# Seconds that a record below WARNING may wait for company: what an item logs while it runs is seen while it runs.
PACE = 0.05
# Records, and characters of them, that wait at most; the next one sends them, and waits as long as the near side is busy.
MOST_RECORDS, MOST_CHARACTERS = 256, 1 << 16

_PLAIN = (str, int, float, bool, type(None))
# For warnings about a module that is not loaded on the near side: what `__warningregistry__` is to one that is, by file.
_registries: dict[str, dict[Any, Any]] = {}


def manners() -> dict[str, Any]:
    """What is worth telling here: the loggers' levels, and the filters of warnings with their categories by name."""
    levels = {
        name: logger.level
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and logger.level
    }
    given: list[Any] = list(warnings.filters)
    filters = [(action, text, (kind.__module__, kind.__qualname__), *where) for action, text, kind, *where in given]
    return {"root": logging.root.level, "levels": levels, "disable": logging.root.manager.disable, "filters": filters}


# ── far side ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Line:
    """The connection to the near side: frames leave whole and one at a time, whichever thread sends."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        self._send = send
        self._lock = threading.RLock()
        self._sending = False

    def send(self, make: Callable[[], Any]) -> None:
        """Send what `make` gives. Nothing, in the middle of sending: what a destructor or a signal handler has to say waits."""
        with self._lock:
            if not self._sending:
                self._sending = True
                try:
                    self._send(make())
                finally:
                    self._sending = False


class Talk(logging.Handler):
    """Takes the records and warnings of a worker process and sends them: at once from WARNING up, so that what is said right
    before a crash arrives; else every `PACE` seconds, and before each report (`flush`), so that a result comes after what was
    said about it."""

    def __init__(self, line: Line, name: str) -> None:
        super().__init__()
        self._process = name
        self.pace = PACE
        self.flushed = 0.0  # of no interest: what waits has waited since `arm`
        self.arm: Callable[[], None] = self._begin
        self._attendant: Attendant | None = None
        self._line = line
        self._waiting: deque[dict[str, Any]] = deque()
        self._characters = 0
        self._pid = os.getpid()

    def adopt(self, manners: dict[str, Any]) -> None:
        """Be the root logger's handler and the one who shows warnings, with the near side's levels and filters."""
        root = logging.root
        root.setLevel(manners["root"])
        root.manager.disable = manners["disable"]
        for name, level in manners["levels"].items():
            logging.getLogger(name).setLevel(level)
        root.addHandler(self)
        self.adopt_filters(manners)
        warnings.showwarning = self.warned

    @staticmethod
    def adopt_filters(manners: dict[str, Any]) -> None:
        """The near side's filters, as far as their categories are loaded here: one that is not cannot be raised either."""
        warnings.resetwarnings()
        for action, message, (module, name), *rest in manners["filters"]:
            category = getattr(sys.modules.get(module), name, None)
            if isinstance(category, type) and issubclass(category, Warning):
                warnings.filters.append((action, message, category, *rest))  # type: ignore[attr-defined]

    def emit(self, record: logging.LogRecord) -> None:
        """As `logging.handlers.QueueHandler.prepare` does it: the message with arguments and traceback is made here."""
        if os.getpid() != self._pid:  # a fork of this worker: the line is its parent's
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        if self._handled_here(record.name):
            return
        try:
            message = self.format(record)
            said = {name: _carried(value) for name, value in record.__dict__.items()}
        except Exception:
            self.handleError(record)
            return
        said |= {"msg": message, "message": message, "args": None, "exc_info": None, "exc_text": None, "stack_info": None}
        if record.processName == "MainProcess":
            said["processName"] = self._process
        self._say(said, len(message), at_once=record.levelno >= logging.WARNING)

    def warned(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        """In the place of `warnings.showwarning`."""
        if file is not None or os.getpid() != self._pid:
            with contextlib.suppress(OSError):
                (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))
            return
        known = next((base.__name__ for base in category.__mro__ if base.__module__ == "builtins"), "UserWarning")
        said = {
            "warning": _carried((message, category)),
            "instead": (str(message), known),
            "filename": filename,
            "lineno": lineno,
            "module": _module_at(filename, lineno),
        }
        self._say(said, len(said["instead"][0]), at_once=True)

    def flush(self) -> None:
        """Send what waits. A near side that is gone does not listen."""
        if self._waiting and os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                self._line.send(self._frame)

    def _frame(self) -> bytes:
        # taken where the line is held, so that the order stays
        self._characters = 0
        return wire.frame(wire.TALK, wire.dumps([self._waiting.popleft() for _ in range(len(self._waiting))]))

    def _say(self, said: dict[str, Any], characters: int, *, at_once: bool) -> None:
        self._waiting.append(said)
        self._characters += characters
        if at_once or len(self._waiting) >= MOST_RECORDS or self._characters >= MOST_CHARACTERS:
            self.flush()
        else:
            self.arm()

    def _begin(self) -> None:
        """The first record that may wait: somebody must see to it. Most workers never log, and need no thread for it."""
        try:
            self._attendant = Attendant(self)  # puts its own `arm` here
            self._attendant.arm()
        except RuntimeError:  # no more threads
            self.flush()

    def end(self) -> None:
        """Say what is left, and end the thread that has seen to it."""
        self.flush()
        if self._attendant is not None:
            self._attendant.stop()

    def _handled_here(self, name: str) -> bool:
        """Whether the user has given this worker handlers for it."""
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self and not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


def _carried(value: Any) -> Any:
    """Plain as it is, else (its pickle if it has one, its text)."""
    if type(value) in _PLAIN:
        return value
    try:
        return wire.dumps(value), repr(value)
    except Exception:
        with contextlib.suppress(Exception):
            return None, repr(value)
        return None, f"<{type(value).__name__}>"


def _module_at(filename: str, lineno: int) -> str | None:
    """The module that is being warned about, which filters ask for: the frame that stands at that line knows."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_lineno == lineno and frame.f_code.co_filename == filename:
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) else None
        frame = frame.f_back
    return None


# ── near side ────────────────────────────────────────────────────────────────────────────────────────────────────────


def hear(payload: bytes) -> None:
    """Say here what a worker said there. What a handler of the user's raises is printed, as `logging` does it."""
    for said in pickle.loads(payload):
        try:
            if "warning" in said:
                _warn(said)
            else:
                _log(said)
        except Exception:
            if logging.raiseExceptions:
                traceback.print_exc()


def _log(said: dict[str, Any]) -> None:
    record = logging.makeLogRecord({name: _arrived(value) for name, value in said.items()})
    if re.fullmatch(r"Level -?\d+", record.levelname):  # named here only
        record.levelname = logging.getLevelName(record.levelno)
    logging.getLogger(record.name).handle(record)


def _warn(said: dict[str, Any]) -> None:
    """`warnings.warn`, as if the line were run here: with the registry of the module, each place warns once for all workers."""
    arrived = _arrived(said["warning"])
    if isinstance(arrived, tuple):
        message, category = arrived
    else:
        text, known = said["instead"]
        category = getattr(builtins, known)
        message = category(text)
    where = filename, _ = said["filename"], said["lineno"]
    name = said["module"] or filename.removesuffix(".py")  # as `warn_explicit` has it; for None it does nothing
    module = sys.modules.get(name)
    space, key = (_registries, filename) if module is None else (vars(module), "__warningregistry__")
    registry = space.setdefault(key, {})
    try:
        warnings.warn_explicit(message, category, *where, module=name, registry=registry)
    except Warning:  # the filters turn it into an error, by now: the item has gone on long ago
        warnings.showwarning(message, category, *where)


def _arrived(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    pickled, text = value
    with contextlib.suppress(Exception):
        if pickled is not None:
            return pickle.loads(pickled)
    return text
