"""Transports: how a request travels. One file each; the table finds them by name, imported on first use.

A transport is a frozen value made from a `Policy`, which can be pickled. It is called as
`transport(resource, request)`, sync or async, with a `setup` that gives the resource; or it names a runner of its own
in `atonce_runner`. An attempt is a `Page` for a final answer and raises `FetchError` for everything else. `runners`
says which runners can serve it, `proxies` which schemes of proxies it speaks to.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar, Protocol

from ...errors import PlanError, TargetError
from ..limits import Policy
from ..proxy import Proxy

__all__ = ["TRANSPORTS", "Transport", "choose"]

TRANSPORTS = {
    "curl": "atonce.fetch.transport.curl:Curl",
    "aiohttp": "atonce.fetch.transport.aiohttp:Aiohttp",
    "requests": "atonce.fetch.transport.requests:Requests",
}

# The models that a runner works in; see the two axes.
_MODELS = {
    "call": ("sync", "processes"),
    "thread": ("threads", "hybrid"),
    "coroutine": ("coroutines", "hybrid", "dask", "ray"),
    "multi": ("coroutines", "hybrid", "dask", "ray"),
}


class Transport(Protocol):
    """What the table's classes are."""

    runners: ClassVar[tuple[str, ...]]
    proxies: ClassVar[tuple[str, ...]]
    setup: Any

    def __init__(self, policy: Policy) -> None: ...

    def __call__(self, *resource_and_request: Any) -> Any: ...


def choose(name: str, model: str, proxy: Proxy | None = None) -> type[Transport]:
    """The class of a transport that can run in the model. Raises PlanError with the pairs that can be.

    "auto" is curl, or requests where the model has no event loop.
    """
    if name == "auto":
        name = "requests" if model in ("sync", "threads", "processes") else "curl"
    found: type[Transport] = _load(name)
    if model != "auto" and model not in _models(found):
        raise PlanError(
            f"the transport {name} cannot run in the model {model!r}",
            hint="; ".join(f"{known} with {' or '.join(_models(_load(known)))}" for known in TRANSPORTS),
        )
    if proxy is not None and proxy.scheme not in found.proxies:
        others = [known for known in TRANSPORTS if proxy.scheme in _load(known).proxies]
        raise PlanError(
            f"the transport {name} speaks to no {proxy.scheme} proxy",
            hint=f"transport={' or '.join(map(repr, others))}",
        )
    return found


def _models(transport: Any) -> list[str]:
    return list(dict.fromkeys(model for runner in transport.runners for model in _MODELS[runner]))


def _load(name: str) -> Any:
    """The class of a name in the table, or of `module:attribute`."""
    module, colon, attribute = TRANSPORTS.get(name, name).partition(":")
    if not colon:
        hint = f"one of {', '.join(TRANSPORTS)}, or package.module:Class"
        raise PlanError(f"there is no transport {name!r}", hint=hint)
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise TargetError(f"the transport {name} cannot be loaded: {error}", hint=f"pip install {name}") from error
    except AttributeError:
        raise TargetError(f"there is no {attribute} in {module}") from None
