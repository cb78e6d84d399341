"""Getting many URLs: fast, politely and safely. `atonce.fetch(urls)` is a `Page` for each.

    api ──► transport (curl, aiohttp, requests) ──► attempt: hop, answer, next hop, page
                                                      url · request · redirect · address · failure · limits (pure)

The package itself can be called: `atonce.fetch` is both the function and the home of what belongs to it, such as
`atonce.fetch.Timeouts`. The names are loaded on first use, so that a worker which is sent a `Request` loads no more.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import afetch, fetch
    from .failure import FetchError
    from .limits import Timeouts
    from .page import Page
    from .request import Request

__all__ = ["FetchError", "Page", "Request", "Timeouts", "afetch", "fetch"]

_HOME = {
    "FetchError": "failure",
    "Page": "page",
    "Request": "request",
    "Timeouts": "limits",
    "afetch": "api",
    "fetch": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Callable(ModuleType):
    def __call__(self, urls: Any, /, **options: Any) -> Iterator[Page]:
        from .api import fetch

        return fetch(urls, **options)


sys.modules[__name__].__class__ = _Callable
