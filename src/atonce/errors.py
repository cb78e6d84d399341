"""Every exception atonce raises or records, by whose fault it is.

    AtonceError
    ├── UsageError          yours: found before anything has run (exit code 2; is a ValueError)
    │   ├── PlanError       a combination that cannot be (model, limits, function)
    │   ├── TargetError     `module:function` that cannot be loaded
    │   ├── InputError      an input that cannot be read, with its line
    │   └── JournalMismatch a journal of another function or other items
    ├── ItemError           one item's end; always inside an Outcome, never loose
    │   ├── ItemTimeout     the attempt took longer than `timeout` (is a TimeoutError)
    │   ├── WorkerDied      the item killed its worker, twice
    │   ├── Unreachable     not started: its key (such as a host) does not answer any more
    │   ├── NotCarried      the item, its result or its exception cannot be pickled
    │   └── RemoteError     stands for an exception that could not travel
    ├── RunError            the world's or the function's: the run cannot go on
    │   ├── SetupFailed     `setup` raised in a worker
    │   ├── ClusterError    cannot be reached or used, or is gone
    │   ├── StartFailed     workers die before they are ready
    │   ├── TooManyStuck    too many threads had to be left behind
    │   └── OutputError     an output that cannot be written or is not ours
    └── Bug                 ours: please report it

    Interrupted             a KeyboardInterrupt that carries what was finished
    RemoteTraceback         the `__cause__` of an exception that was raised in another process

A message has four parts: what happened, to which item, the likely causes, what to try next.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence
from typing import Any

__all__ = [
    "AtonceError",
    "Bug",
    "ClusterError",
    "InputError",
    "Interrupted",
    "ItemError",
    "ItemTimeout",
    "JournalMismatch",
    "NotCarried",
    "OutputError",
    "PlanError",
    "RemoteError",
    "RemoteTraceback",
    "RunError",
    "SetupFailed",
    "StartFailed",
    "TargetError",
    "TooManyStuck",
    "Unreachable",
    "UsageError",
    "WorkerDied",
]


class AtonceError(Exception):
    """The root of the tree. `exit_code` is what the command line ends with.

    Parameters: `what` happened; `item`, a short text that names the item; `causes`, the likely ones, most likely first;
    `hint`, the next thing to try. Each is an attribute of the same name.
    """

    exit_code = 1

    def __init__(self, what: str, *, item: str | None = None, causes: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.item = item
        self.causes = tuple(causes)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.item is not None:
            lines.append(f"  item: {self.item}")
        if self.causes:
            lines.append("  likely: " + "; or ".join(self.causes))
        if self.hint is not None:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)


class UsageError(AtonceError, ValueError):
    """The call is wrong; nothing has run. A ValueError as well, which is what the standard library raises then."""

    exit_code = 2


class PlanError(UsageError):
    """No plan can honour these options together: `atonce.run(f, xs, model="sync", timeout=1)`."""


class TargetError(UsageError):
    """`module:function` names nothing that can be called."""


class InputError(UsageError):
    """An input line or item cannot be read."""


class JournalMismatch(UsageError):
    """The journal was made by another function or from other items.

    Another function, and fewer items where their number is known, are found before anything has run; another item is found
    when it is read.
    """


class ItemError(AtonceError):
    """How one item ended when the function itself did not raise."""


class ItemTimeout(ItemError, TimeoutError):
    """One attempt took longer than `timeout` seconds, counted from its start."""


class WorkerDied(ItemError):
    """The item was running when its worker died, and again when it was tried alone.

    `exit_code_of_worker` is the process's exit code, negative for a signal, None when nobody could tell.
    """

    exit_code_of_worker: int | None = None

    @classmethod
    def because(cls, status: int | None, item: str) -> WorkerDied:
        error = cls(
            f"the worker died ({died_of(status)}) while it ran this item, and again when the item was tried alone",
            item=item,
            causes=_death_causes(status),
            hint="run the function on this item alone under faulthandler: python -X faulthandler",
        )
        error.exit_code_of_worker = status
        return error


class Unreachable(ItemError):
    """The item was not started, since its key has failed again and again, and each time that it was tried anew.

    `last` is the failure that was the last of them.
    """

    last: BaseException | None = None

    @classmethod
    def because(cls, key: object, failures: int, last: BaseException | None) -> Unreachable:
        why = str(getattr(last, "what", "") or last)
        error = cls(
            f"not started: {key} has failed {failures} times in a row, the last time with {why}",
            causes=("it is down, or does not want so many requests from here",),
            hint="run what failed again later",
        )
        error.last = last
        return error


class NotCarried(ItemError):
    """The item or what came of it cannot be pickled to cross the process boundary."""


class RemoteError(ItemError):
    """Stands for an exception that could not be pickled; its text and traceback are kept."""


class RunError(AtonceError):
    """The run cannot go on; what was finished is kept."""


class SetupFailed(RunError):
    """`setup` raised, so no item can run in that worker; or the exit of what it gave. The cause is `__cause__`."""


class ClusterError(RunError):
    """The cluster that `cluster=` names cannot be reached or used, or is gone."""


class StartFailed(RunError):
    """Workers end before they are ready to run anything."""


class TooManyStuck(RunError):
    """Python cannot end a thread: after a bound of threads left behind the run stops."""


class OutputError(RunError):
    """The output cannot be written, is in use, or belongs to another input."""


class Bug(AtonceError):
    """A promise of atonce's own is broken: please report it with this text."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C arrived during `run`; `.run` holds every outcome that was finished."""

    def __init__(self, run: Any) -> None:
        super().__init__()
        self.run = run


class RemoteTraceback(Exception):
    """The traceback of an exception raised in another process, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def said(error: BaseException) -> tuple[str, str]:
    """What a failure is counted as, and its message. Its class; or what its `error_class` says, which anybody's exceptions may
    have, as those of fetch do (`http-5xx`)."""
    kind = getattr(error, "error_class", None)
    kind = kind if isinstance(kind, str) and kind else type(error).__name__
    try:
        return kind, str(error).removeprefix(f"{kind}: ")
    except Exception:  # its __str__ raises
        return kind, ""


def remedy(error: OSError) -> str | None:
    """What to try where a file that was named cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room, or a file elsewhere"
    return "a file in a folder that is there" if error.errno in (errno.ENOENT, errno.ENOTDIR) else None


def shown(item: Any) -> str:
    """An item in a message: its repr, cut; or its type, when the repr itself fails."""
    try:
        return repr(item)[:200]
    except Exception:
        return f"a {type(item).__name__} (its repr raises)"


def died_of(status: int | None) -> str:
    """An exit status in words: `exit code 3`, `signal SIGKILL`; None is an unknown end."""
    if status is None:
        return "its end could not be observed"
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def _death_causes(status: int | None) -> tuple[str, ...]:
    if status == -9:
        return ("the kernel's OOM killer", "somebody killed it")
    if status is not None and -status in (4, 6, 7, 8, 11):
        return ("a crash in native code that the function calls",)
    if status is not None and status >= 0:
        return ("the function, or native code it calls, ends the process (os._exit, abort)",)
    return ()
