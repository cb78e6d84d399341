"""atonce runs a function over many inputs with the right mix of concurrency and parallelism, and loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Executor",
    "Journal",
    "Options",
    "Outcome",
    "Page",
    "Plan",
    "Rate",
    "Request",
    "Retry",
    "Run",
    "afetch",
    "amap",
    "arun",
    "astream",
    "compare",
    "errors",
    "explain",
    "fetch",
    "map",
    "run",
    "stream",
    "testing",
]

# name → where it lives; loaded when first used, so that `import atonce` costs a few milliseconds
_HOMES = {
    "Comparison": "comparison",
    "Executor": "executor",
    "Journal": "options",
    "Options": "options",
    "Outcome": "outcome",
    "Page": "fetch",
    "Plan": "plan.plan",
    "Rate": "options",
    "Request": "fetch",
    "Retry": "options",
    "Run": "outcome",
    "afetch": "fetch",
    "amap": "api",
    "arun": "api",
    "astream": "api",
    "compare": "comparison",
    "explain": "api",
    "map": "api",
    "run": "api",
    "stream": "api",
}

if TYPE_CHECKING:
    from . import errors, testing
    from .api import amap, arun, astream, explain, map, run, stream
    from .comparison import Comparison, compare
    from .executor import Executor
    from .fetch import Page, Request, afetch, fetch
    from .options import Journal, Options, Rate, Retry
    from .outcome import Outcome, Run
    from .plan.plan import Plan


def __getattr__(name: str) -> object:
    import importlib

    if name in ("errors", "fetch", "testing"):  # modules; `fetch` is one that can be called
        return importlib.import_module(f".{name}", __name__)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
