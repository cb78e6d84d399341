"""The one funnel: keywords, command-line flags and environment become one frozen, validated `Options`."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from .errors import UsageError
from .plain import label

__all__ = ["MODELS", "Connecting", "Display", "Journal", "Learned", "Options", "Rate", "Retry", "Spaced"]

MODELS = ("auto", "sync", "coroutines", "threads", "processes", "hybrid", "interpreters", "dask", "ray")
CLUSTERS = ("dask", "ray")

Auto = Literal["auto"]


@dataclasses.dataclass(frozen=True, slots=True)
class Retry:
    """Try a failed item again: `attempts` starts in all, with full jitter between them.

    The pause before attempt n+1 is drawn evenly from 0 to `min(cap, base * 2**(n-1))` seconds ("full jitter", Marc Brooker,
    AWS Architecture Blog, 2015). An exception with a `retry_after` attribute (seconds) sets a lower bound and parks the
    item's key until then; `max_wait` caps it. `on` is the exception types worth another try, or a predicate. `budget` bounds
    retries in all to that share of the attempts, plus 10 at the start and 3 a second, so that a failing server is not
    hammered; a retry over budget waits, it is not dropped. A worker's death is not the function's failure and has its own
    rule: one more try, alone.
    """

    attempts: int = 3
    on: tuple[type[BaseException], ...] | type[BaseException] | Callable[[BaseException], bool] = Exception
    base: float = 0.1
    cap: float = 30.0
    max_wait: float = 120.0
    budget: float = 0.2

    def __post_init__(self) -> None:
        _whole("Retry.attempts", self.attempts)
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        for kind in kinds:
            a_type = isinstance(kind, type) and issubclass(kind, BaseException)
            if not a_type and (isinstance(self.on, tuple) or isinstance(kind, type) or not callable(kind)):
                raise UsageError(f"Retry.on={self.on!r} is not an exception type, a tuple of them, or a predicate")
        for name in ("base", "cap", "max_wait", "budget"):
            _positive(f"Retry.{name}", getattr(self, name))

    def covers(self, error: BaseException) -> bool:
        """Whether this error is worth another try."""
        if isinstance(self.on, tuple | type):
            return isinstance(error, self.on)
        return bool(self.on(error))


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` starts `per` seconds (a token bucket); `burst` may start at once (default 1: evenly spaced).

    What starts late is made up for, up to 10 ms' worth of starts: 1000/s is at most 1011 in any one second, 10/s at most 11.
    """

    count: float
    per: float = 1.0
    burst: int = 1

    def __post_init__(self) -> None:
        _positive("Rate.count", self.count)
        _positive("Rate.per", self.per)
        _whole("Rate.burst", self.burst)

    @property
    def a_second(self) -> float:
        return self.count / self.per

    @classmethod
    def parse(cls, text: str) -> Rate:
        """`5/s`, `100/m`, `1000/h` or a bare number a second."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:/\s*(s|m|h))?\s*", text)
        if not found:
            raise UsageError(f"rate {text!r} is not a rate", hint="write 5/s, 100/m or 1000/h")
        return cls(float(found[1]), {"s": 1.0, "m": 60.0, "h": 3600.0}[found[2] or "s"])


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """The file that a run records its outcomes in, so that the same call, made again, runs only what is left.

    `path`: made when it is not there (mode 0600; its folder must be). `retry_failed`: run items again that are recorded as
    failed; else their failures stand and are given out as they were recorded, as with the outputs of the command line.
    (`map` runs them again in any case, unless `errors="return"` makes an exception a value: what it raised or left out was
    nobody's result.)

    Not for: a journal of somebody you do not trust. It holds pickles, and reading a pickle runs what is in it.
    """

    path: str | os.PathLike[str]
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike) or not isinstance(os.fspath(self.path), str):
            raise UsageError(f"journal={self.path!r} is not the path of a file", hint='journal="run.journal"')
        if not os.path.basename(self.path):
            raise UsageError(f"journal={os.fspath(self.path)!r} names no file", hint='journal="run.journal"')
        if self.retry_failed not in (True, False):
            raise UsageError(f"Journal.retry_failed={self.retry_failed!r} is neither True nor False")


@runtime_checkable
class Learned(Protocol):
    """What is known of keys from earlier runs: as `per_key=`, it is "auto" that begins where the last run ended."""

    def start(self, key: Any) -> int | None:
        """How many of this key may be in flight to begin with; None: nothing is known."""

    def learned(self, key: Any, limit: int) -> None:
        """That many were found to be right; told at the end of a run."""


@runtime_checkable
class Spaced(Protocol):
    """A `key` function that is told, too, what came of items, and says by it how far apart the starts of that key are to be: a
    crawl delay. Until it has said so of a key, one item of it is in flight at a time.

    Not for: a limit that is known beforehand. That is `rate=`.
    """

    def __call__(self, item: Any, /) -> Any:
        """The key of an item."""

    def spacing(self, came: Any, /) -> float | None:
        """Seconds from one start of this key to the next, at least, and 0 for none; `came` is an item's value, or its
        exception. None: it says nothing about that. Asked once for each attempt, where the run is driven."""


@runtime_checkable
class Connecting(Protocol):
    """A `key` function that knows for what came of items whether a connection was opened for them: for `per_key="auto"`, which
    opens few at a time where the other side serves few."""

    def __call__(self, item: Any, /) -> Any:
        """The key of an item."""

    def opened(self, value: Any, /) -> bool | None:
        """Whether this value came over a connection that was opened for it; None: nobody knows."""


@runtime_checkable
class Display(Protocol):
    """Whoever shows the progress itself, and counts the items: as `progress=`, it is only told whom to look at."""

    def watch(self, look: Any) -> None:
        """The run begins: `look()` gives an `atonce.engine.status.Status`, from any thread, whenever it is called."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything a run can be told. None and "auto" mean that atonce decides.

    - `model`: a point on the two axes by name, see `MODELS`.
    - `cluster`: for the models `dask` and `ray`: the cluster's address, or a `distributed.Client`; None starts one on this
      machine, for trying (docs/clusters.md).
    - `parallelism`: worker processes. `concurrency`: slots, in all, that one worker keeps in flight.
    - `setup`: gives a context manager, sync or async, entered once per thread of execution; `fn` is then called as
      `fn(resource, item)`.
    - `ordered`: outcomes in input order (None: `map` and `run` yes, `stream` no).
    - `errors`: what `map` does with a failed item: "raise", "return" its exception, or "skip" it.
    - `retry`: a `Retry`, or a number of attempts. `timeout`: seconds one attempt may take, from its start.
    - `rate`: a `Rate`, text such as "5/s", or starts a second. `key`: what limits are counted by, a function of the item
      (one that knows of crawl delays is a `Spaced`); `per_key`: how many items of one key may be in flight, or "auto":
      found for each key, 4 to begin with (docs/limit.md), or a `Learned`. None: any number, unless `concurrency` is
      "auto", too, and items take long.
    - `max_tasks_per_worker`: attempts after which a worker process is replaced by a fresh one; `max_worker_memory`: bytes,
      or text such as "500MB" or "1.5GiB", of resident memory above which it is, looked at between items.
    - `progress`: show it on stderr; "workers": what each of them does, too; or a `Display`. `name`: what the run is called
      there.
    - `journal`: a `Journal`, or the path of one: the file that outcomes are recorded in and a killed run goes on from.
    - `trace`: a file to write every attempt to, in Chrome's trace-event format; https://ui.perfetto.dev shows it. A name that
      ends in `.gz` is compressed. It is overwritten, if it is a trace.
    - `metrics`: an address such as "127.0.0.1:9100", where Prometheus finds the run's numbers while it goes on (extra
      `metrics`). `spans`: True, or a tracer provider: each attempt is a span of OpenTelemetry (extra `otel`).
    """

    model: str = "auto"
    cluster: Any = None
    parallelism: int | Auto = "auto"
    concurrency: int | Auto = "auto"
    setup: Callable[[], Any] | None = None
    ordered: bool | None = None
    errors: Literal["raise", "return", "skip"] = "raise"
    retry: Retry | None = None
    timeout: float | None = None
    rate: Rate | None = None
    key: Callable[[Any], Any] | None = None
    per_key: int | Auto | Learned | None = None
    max_tasks_per_worker: int | None = None
    max_worker_memory: int | None = None
    progress: bool | Literal["workers"] | Display = False
    journal: Journal | None = None
    trace: str | os.PathLike[str] | None = None
    metrics: str | None = None
    spans: Any = None
    name: str = "atonce"

    @classmethod
    def of(cls, given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Options:
        """Options from keywords; what they do not say is taken from `ATONCE_MODEL`, `ATONCE_PARALLELISM`, …

        Raises UsageError with the argument's name, before anything has run.
        """
        values: dict[str, Any] = {}
        environment = os.environ if environment is None else environment
        for name in _FROM_ENVIRONMENT:
            if text := environment.get(f"ATONCE_{name.upper()}"):
                values[name] = _number(name, text)
        values.update(given)
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise UsageError(f"there is no option {name!r}", hint=_near(name, known))
        retry, rate, journal = values.get("retry"), values.get("rate"), values.get("journal")
        if isinstance(retry, int) and not isinstance(retry, bool):
            values["retry"] = Retry(attempts=retry)
        if isinstance(rate, str):
            values["rate"] = Rate.parse(rate)
        elif isinstance(rate, int | float) and not isinstance(rate, bool):
            values["rate"] = Rate(rate)
        if isinstance(journal, str | os.PathLike):
            values["journal"] = Journal(journal)
        if isinstance(memory := values.get("max_worker_memory"), str):
            values["max_worker_memory"] = _bytes(memory)
        return cls(**values)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise UsageError(f"unknown model {self.model!r}", hint=_near(str(self.model), MODELS))
        if self.cluster is not None and self.model not in CLUSTERS:
            raise UsageError(f"cluster={self.cluster!r} needs model=", hint=f"one of {', '.join(CLUSTERS)}")
        for name in ("parallelism", "concurrency"):
            if getattr(self, name) != "auto":
                _whole(name, getattr(self, name), or_auto=True)
        if self.per_key is not None:
            if self.per_key != "auto" and not isinstance(self.per_key, Learned):
                _whole("per_key", self.per_key, or_auto=True)
            if self.key is None:
                raise UsageError("per_key= needs key=: the function that says which key an item has")
        for name in ("max_tasks_per_worker", "max_worker_memory"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name))
        if self.timeout is not None:
            _positive("timeout", self.timeout)
        if self.ordered not in (None, True, False):
            raise UsageError(f"ordered={self.ordered!r} is neither True nor False")
        if self.progress not in (True, False, "workers") and not isinstance(self.progress, Display):
            raise UsageError(f'progress={self.progress!r} is not one of True, False and "workers"')
        if not isinstance(self.name, str):
            raise UsageError(f"name={self.name!r} is not a text")
        if self.errors not in ("raise", "return", "skip"):
            raise UsageError(f'errors={self.errors!r} is not one of "raise", "return", "skip"')
        for name, kind in (("retry", Retry), ("rate", Rate), ("journal", Journal)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise UsageError(f"{name}={value!r} is not a {kind.__name__}", hint=f"atonce.{kind.__name__}(…)")
        for name in ("setup", "key"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise UsageError(f"{name}={value!r} cannot be called")
        if self.trace is not None and (not isinstance(self.trace, str | os.PathLike) or not os.path.basename(self.trace)):
            raise UsageError(f"trace={self.trace!r} is not the path of a file", hint='trace="run.json.gz"')
        if self.metrics is not None:
            address(self.metrics)

    def written(self) -> dict[str, str]:
        """What is not as by default, each as it would be written in a call; without what belongs to one run only."""
        fields = (field for field in dataclasses.fields(self) if field.name not in _OF_ONE_RUN)
        given = ((field.name, getattr(self, field.name), field.default) for field in fields)
        return {name: _written(value) for name, value, default in given if value != default}

    @property
    def recycles(self) -> bool:
        """Whether workers are to be replaced by fresh ones."""
        return self.max_tasks_per_worker is not None or self.max_worker_memory is not None

    def but(self, **changes: Any) -> Options:
        """A copy with these changes, validated again."""
        return dataclasses.replace(self, **changes)


_OF_ONE_RUN = ("journal", "trace", "metrics", "spans", "progress", "name", "cluster")


def _written(value: Any) -> str:
    """As it would be written; of an object and of a partial only what it is called, since what it holds may be a password."""
    if value is None or isinstance(value, bool | int | float | str):
        return label(repr(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name), field.default) for field in dataclasses.fields(value))
        inside = ", ".join(f"{name}={_written(each)}" for name, each, default in fields if each != default)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, functools.partial):
        return f"partial({_written(value.func)}, …)"
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else f"{type(value).__name__}(…)"


_FROM_ENVIRONMENT = ("model", "cluster", "parallelism", "concurrency", "timeout")


def _number(name: str, text: str) -> Any:
    if name in ("model", "cluster") or text == "auto":
        return text
    try:
        return float(text) if name == "timeout" else int(text)
    except ValueError:
        raise UsageError(f"ATONCE_{name.upper()}={text!r} is not a number") from None


def address(text: Any) -> tuple[str, int]:
    """Host and port of `metrics=`, such as `127.0.0.1:9100` or `[::1]:9100`; port 0 is any that is free."""
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"metrics={text!r} is not an address", hint='metrics="127.0.0.1:9100"')
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text, re.IGNORECASE)
    if not found:
        raise UsageError(f"max_worker_memory={text!r} is not a size", hint="write 500MB, 1.5GiB, or a number of bytes")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** " kmgt".index(found[2].lower() or " "))


def _near(name: str, known: Any) -> str:
    # the one that begins alike: `retries` is nearer to `metrics` by its letters, and means `retry`
    import difflib

    close = difflib.get_close_matches(name, known, n=3)
    close.sort(key=lambda each: each[:2] != name[:2])
    return f"{close[0]!r}?" if close else "one of " + ", ".join(known)


def _whole(name: str, value: Any, *, or_auto: bool = False) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        allowed = 'a whole number from 1, or "auto"' if or_auto else "a whole number from 1"
        raise UsageError(f"{name}={value!r} is not {allowed}")


def _positive(name: str, value: Any) -> None:
    # `not value > 0` instead of `value <= 0`: it refuses NaN as well
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise UsageError(f"{name}={value!r} is not a number above 0")
