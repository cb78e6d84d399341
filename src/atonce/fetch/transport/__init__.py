"""Transports: how a request travels. One file each; the table finds them by name, imported on first use.

A transport is a frozen value made from a `Policy`, which can be pickled. It is called as `transport(resource, request)`,
sync or async, with a `setup` that gives the resource; or it names a runner of its own in `atonce_runner`.
`atonce_runners`, where it is there, keeps what is chosen by itself to those. An attempt is a `Page` for a final answer
and raises `FetchError` for everything else. `runners` says which runners can serve it, `proxies` which schemes of proxies
it speaks to.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
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
    """The class of a transport that can run in the model and speaks to the proxy. Raises PlanError with what could be instead.

    "auto" is curl, or requests where the model has no event loop.
    """
    chosen = name
    if name == "auto":
        chosen = "requests" if model in ("sync", "threads", "processes") else "curl"
    found: type[Transport] = _load(chosen)
    scheme = None if proxy is None else proxy.scheme
    if not _runs(found, model):
        what = f"the transport {chosen} cannot run in the model {model!r}"
        cause = f"{chosen} runs in {_listed(_models(found))}"
    elif not _speaks(found, scheme):
        what = f"the transport {chosen} speaks to no {scheme} proxy"
        cause = (
            f"{chosen} speaks to proxies by {_listed(_proxies(found))} only"
            if _proxies(found)
            else f"{chosen} knows no proxies"
        )
        if name == "auto" and model != "auto":
            cause += f", and is what runs in the model {model!r}"
    else:
        return found
    raise PlanError(what, causes=[cause], hint=_instead(name, model, scheme))


def _instead(name: str, model: str, scheme: str | None) -> str | None:
    """What could be asked for: another transport, else another model, else both."""
    known = {each: _load(each) for each in TRANSPORTS}
    speaks = [each for each, transport in known.items() if _speaks(transport, scheme)]
    if fits := [each for each in speaks if each != name and _runs(known[each], model)]:
        return " or ".join(f"transport={each!r}" for each in fits)
    if name in speaks or name == "auto":
        models = _models(known[name if name in speaks else speaks[0]])
        return " or ".join(f"model={each!r}" for each in models[:2])  # the others want a cluster
    return f"transport={speaks[0]!r} with model={_models(known[speaks[0]])[0]!r}" if speaks else None


def _runs(transport: Any, model: str) -> bool:
    return model == "auto" or model in _models(transport)


def _speaks(transport: Any, scheme: str | None) -> bool:
    return scheme is None or scheme in _proxies(transport)


def _proxies(transport: Any) -> Sequence[str]:
    """A transport of somebody's own may know none."""
    return getattr(transport, "proxies", ())


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _models(transport: Any) -> list[str]:
    return list(dict.fromkeys(model for runner in transport.runners for model in _MODELS[runner]))


def _load(name: str) -> Any:
    """The class of a name in the table, or of `module:attribute`."""
    module, colon, attribute = TRANSPORTS.get(name, name).partition(":")
    if not (module and colon and attribute):
        import difflib

        near = difflib.get_close_matches(name, TRANSPORTS, 1)
        hint = f"transport={near[0]!r}" if near else f"one of {', '.join(TRANSPORTS)}, or package.module:Class"
        raise PlanError(f"there is no transport {name!r}", hint=hint)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        what = f"the transport {name} cannot be loaded: {error}"
        if name in TRANSPORTS:
            raise TargetError(
                what, causes=["the package is not installed here, or is broken"], hint=f"pip install {name}"
            ) from error
        raise TargetError(what, causes=[f"{module} is no module that Python finds"], hint="package.module:Class") from error
    except AttributeError:
        raise TargetError(f"there is no {attribute} in {module}", hint="package.module:Class") from None
    if not hasattr(found, "runners"):
        raise TargetError(
            f"{name} is no transport",
            causes=["it does not say which runners can serve it: see atonce.fetch.transport"],
            hint=f"one of {', '.join(TRANSPORTS)}",
        )
    return found
