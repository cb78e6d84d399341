"""What goes wrong between a run and a cluster, in words."""

from __future__ import annotations

import platform
import sys
from typing import Any

import cloudpickle

import atonce

from ..errors import ClusterError

__all__ = ["cannot_connect", "cannot_start", "is_gone", "refuse_others", "versions"]


def versions() -> dict[str, str]:
    """What both sides must have alike."""
    return {"Python": platform.python_version(), "atonce": atonce.__version__, "cloudpickle": cloudpickle.__version__}


def refuse_others(theirs: dict[str, Any]) -> None:
    """Both sides speak one protocol (atonce), and code travels (the minor version of Python, cloudpickle's major version)."""
    ours, told = versions(), theirs["versions"]
    if _matters(told) == _matters(ours):
        return
    raise ClusterError(
        f"the cluster's node {theirs['node']} has {_listed(told)}, and here are {_listed(ours)}",
        causes=("the cluster was set up from another environment",),
        hint=f"pip install atonce=={ours['atonce']} cloudpickle=={ours['cloudpickle']} there, under Python {_minor(ours)}",
    )


def _matters(versions: dict[str, str]) -> tuple[str, str, str]:
    return _minor(versions), versions["atonce"], versions["cloudpickle"].partition(".")[0]


def _minor(versions: dict[str, str]) -> str:
    return ".".join(versions["Python"].split(".")[:2])


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def cannot_connect(name: str, where: Any, error: BaseException) -> ClusterError:
    what = "can be started here" if where is None else f"answers at {where}"
    return _because(
        error,
        f"no {name} cluster {what}: {type(error).__name__}: {error}",
        causes=("its scheduler is not running", "the address is wrong, or cannot be reached from here"),
        hint=f'cluster="…" names the {name} cluster; without it one is started on this machine',
    )


def cannot_start(name: str, tries: int, error: BaseException) -> ClusterError:
    return _because(
        error,
        f"the {name} cluster answers, but no worker could be started on it, {tries} times in a row: "
        f"{type(error).__name__}: {error}",
        causes=("atonce is not installed on its nodes", "its nodes are lost as soon as they are used (memory?)"),
        hint=f"pip install atonce=={atonce.__version__} there, under Python {sys.version_info.major}.{sys.version_info.minor}",
    )


def is_gone(name: str, error: BaseException) -> ClusterError:
    return _because(
        error,
        f"the {name} cluster is gone: {type(error).__name__}: {error}",
        causes=("its scheduler has ended or was started again", "the network between is down"),
        hint="what was finished is kept; with journal= (in the command line, the same output) the same call goes on from there",
    )


def _because(error: BaseException, what: str, *, causes: tuple[str, ...], hint: str) -> ClusterError:
    wrong = ClusterError(what, causes=causes, hint=hint)
    wrong.__cause__ = error
    return wrong
