"""Each attempt as a span of OpenTelemetry, below one for the run: `Spans`, by the library and the tracer provider of the user.

the span that is current where the run is called
└── atonce NAME                    atonce.model, atonce.plan, …; the limit's moves as events
    ├── NAME                       atonce.item, atonce.index, atonce.worker, atonce.slot, process.pid, atonce.cpu
    └── NAME  status ERROR         an event `exception` with type and message
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from atonce.engine.history import Move
from atonce.engine.observer import Observer
from atonce.engine.status import Status
from atonce.errors import UsageError, said
from atonce.plain import label, line

if TYPE_CHECKING:
    from atonce.engine.held import Held
    from atonce.outcome import Stats
    from atonce.plan.plan import Plan
    from atonce.worker.outbox import Report

__all__ = ["Spans"]

# Events that the run's span has at most, as the SDK keeps no more unless told.
MOST = 100


class Spans(Observer):
    """`provider`: a TracerProvider, or True: the one that is set up in this process. Raises UsageError where there is none.

    An attempt costs some 20 µs, most of it the library's. Not for: runs of millions of short items, for which a trace is.
    What the function itself traces in a worker process is not below these spans: they are made when the attempts are over.
    """

    def __init__(self, name: str, provider: Any = True) -> None:
        try:
            import importlib

            trace: Any = importlib.import_module("opentelemetry.trace")
        except ImportError:
            raise UsageError("spans= needs OpenTelemetry", hint="pip install 'atonce[otel]'") from None
        if provider is True:
            provider = trace.get_tracer_provider()
            if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
                raise UsageError(
                    "spans=True, and no OpenTelemetry is set up in this process",
                    hint="opentelemetry.trace.set_tracer_provider(…), `opentelemetry-instrument atonce …`, or spans=provider",
                )
        elif not hasattr(provider, "get_tracer"):
            raise UsageError(f"spans={provider!r:.80} is no tracer provider", hint="spans=True")
        self._name = line(name, 120)
        self._offset = time.time() - time.monotonic()
        self._error: Callable[[str], Any] = lambda text: trace.Status(trace.StatusCode.ERROR, text)
        self._tracer: Any = provider.get_tracer("atonce")
        self._run: Any = self._tracer.start_span(f"atonce {self._name}")
        self._context: Any = trace.set_span_in_context(self._run)
        self._events = 0

    def hired(self, worker: int, plan: Plan, now: float) -> None:
        self._run.set_attributes({"atonce.model": plan.model, "atonce.plan": plan.headline})

    def reported(self, worker: int, report: Report, items: Held, now: float) -> None:
        columns = (report.indices, report.started, report.ended, report.cpu, report.workers)
        for index, started, ended, cpu, who in zip(*columns, strict=True):
            self._attempt(worker, items, index, started, cpu, who).end(self._at(ended))
        for failure in report.failures:
            if failure.worker is None:
                continue  # it never started
            span = self._attempt(worker, items, failure.index, failure.started, failure.cpu, failure.worker)
            message = line(said(failure.error)[1], 300)
            attributes = {"exception.type": type(failure.error).__qualname__, "exception.message": message}
            span.add_event("exception", attributes, self._at(failure.ended))
            span.set_status(self._error(message))
            span.end(self._at(failure.ended))

    def _attempt(self, worker: int, items: Held, index: int, started: float, cpu: float, who: Any) -> Any:
        return self._tracer.start_span(
            self._name,
            self._context,
            attributes={
                "atonce.index": index,
                "atonce.item": line(label(items.get(index)), 120),
                "atonce.worker": worker,
                "atonce.slot": who[2],
                "process.pid": who[0],
                "atonce.cpu": cpu,
            },
            start_time=self._at(started),
        )

    def limited(self, move: Move) -> None:
        self._event("limit", {"atonce.limit": move.limit, "atonce.why": line(move.why), "atonce.key": line(move.key)}, move.at)

    def lost(self, worker: int, status: int | None, running: tuple[int, ...], now: float) -> None:
        self._event("worker lost", {"atonce.worker": worker, "atonce.status": str(status)}, now)

    def _event(self, name: str, attributes: dict[str, Any], at: float) -> None:
        self._events += 1
        if self._events <= MOST:
            self._run.add_event(name, attributes, self._at(at))

    def begun(self, look: Callable[[], Status], now: float) -> None:
        self._run.set_attribute("atonce.name", self._name)

    def planned(self, plan: Plan, now: float) -> None:
        self._run.set_attributes({"atonce.model": plan.model, "atonce.plan": plan.headline})

    def closed(self, stats: Stats, now: float) -> None:
        numbers = {"items": stats.items, "ok": stats.ok, "failed": stats.failed, "attempts": stats.attempts}
        self._run.set_attributes({f"atonce.{name}": value for name, value in numbers.items()})
        if stats.failed:
            self._run.set_status(self._error(f"{stats.failed} of {stats.items} items failed"))
        self._run.end(self._at(now))

    def dropped(self) -> None:
        self._run.end()

    def _at(self, monotonic: float) -> int:
        """Nanoseconds, as the library wants them."""
        return int((monotonic + self._offset) * 1e9)
