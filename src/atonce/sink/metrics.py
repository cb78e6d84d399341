"""The numbers of a run that goes on, where Prometheus finds them: `Metrics`, over HTTP, by `prometheus_client`.

    attempts ──reported──► sums and buckets ─┐
    the run ──look──► Status ────────────────┴─► collect, when somebody asks ──► /metrics

What the run is doing is asked of it when Prometheus asks, so that it costs nothing meanwhile; an attempt costs 0.2 µs.
"""

from __future__ import annotations

import logging
import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from atonce.engine.history import Weight
from atonce.engine.observer import Observer
from atonce.engine.status import Status
from atonce.errors import UsageError, said
from atonce.options import address
from atonce.plain import line

if TYPE_CHECKING:
    from atonce.engine.held import Held
    from atonce.outcome import Stats
    from atonce.plan.plan import Plan
    from atonce.worker.outbox import Report

__all__ = ["BOUNDS", "Metrics"]

LOG = logging.getLogger("atonce")

# Upper bounds of the buckets of an attempt's seconds: three a decade, from a tenth of a millisecond to an hour or so.
BOUNDS = tuple(each * 10.0**power for power in range(-4, 4) for each in (1, 2.5, 5))
# Classes of failures that have a label of their own: each is a time series that somebody stores.
KINDS = 50


class Metrics(Observer):
    """Listens on `where` until the run is over, and logs the address. Raises UsageError where it cannot: nothing has run then.

    What it says has the label `run`, the run's name. Not for: numbers that outlive the run; Prometheus keeps those, and a run
    shorter than two scrapes is better told by `trace=` or the summary.
    """

    def __init__(self, where: str, name: str) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise UsageError("metrics= needs prometheus_client", hint="pip install 'atonce[metrics]'") from None
        self._name = line(name, 120)
        self._lock = threading.Lock()  # a scrape is answered by another thread
        self._look: Callable[[], Status] = Status
        self._ok = self._bad = self._workers_lost = 0
        self._seconds = self._cpu = 0.0
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._kinds: dict[str, int] = {}
        self._model = ""
        self._bytes = 0
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        host, port = address(where)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise UsageError(
                f"metrics={where!r} cannot be listened on: {error.strerror or error}",
                hint="another port; 127.0.0.1:0 takes one that is free",
            ) from error
        LOG.info("metrics are at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, self._server.server_port)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def begun(self, look: Callable[[], Status], now: float) -> None:
        self._look = look

    def hired(self, worker: int, plan: Plan, now: float) -> None:
        self._model = plan.model

    def reported(self, worker: int, report: Report, items: Held, now: float) -> None:
        buckets = self._buckets
        took = [ended - started for ended, started in zip(report.ended, report.started, strict=True)]
        took += [failure.ended - failure.started for failure in report.failures]
        with self._lock:
            for seconds in took:
                buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds += math.fsum(took)
            self._cpu += math.fsum(report.cpu) + math.fsum(failure.cpu for failure in report.failures)
            self._ok += len(report.indices)
            self._bad += len(report.failures)
            for failure in report.failures:
                kind = line(said(failure.error)[0], 60)
                kind = kind if kind in self._kinds or len(self._kinds) < KINDS else "other"
                self._kinds[kind] = self._kinds.get(kind, 0) + 1

    def lost(self, worker: int, status: int | None, running: tuple[int, ...], now: float) -> None:
        self._workers_lost += 1

    def weighed(self, weight: Weight) -> None:
        self._bytes = weight.own + weight.workers

    def closed(self, stats: Stats, now: float) -> None:
        self.dropped()

    def dropped(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ── when somebody asks ───────────────────────────────────────────────────────────────────────────────────────────

    def collect(self) -> Iterator[Any]:
        """For the registry: all of it as it is now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        def gauge(name: str, help: str, value: float) -> Any:
            family = GaugeMetricFamily(f"atonce_{name}", help, labels=["run"])
            family.add_metric([self._name], value)
            return family

        def counter(name: str, help: str, values: Mapping[str, float], label: str = "") -> Any:
            family = CounterMetricFamily(f"atonce_{name}", help, labels=["run", *([label] if label else [])])
            for key, value in values.items():
                family.add_metric([self._name, *([key] if label else [])], value)
            return family

        status = self._look()
        with self._lock:
            counts, seconds, kinds = list(self._buckets), self._seconds, dict(self._kinds)
            attempts = {"ok": self._ok, "failed": self._bad}
            cpu = self._cpu
        ended = {"ok": status.done - status.failed, "failed": status.failed}
        yield counter("items", "Items that have ended.", ended, "outcome")
        yield counter("attempts", "Attempts that have ended.", attempts, "outcome")
        yield counter("failures", "Attempts that failed, by the class of the error.", kinds, "error")
        yield counter("cpu_seconds", "CPU seconds inside the function.", {"": cpu})
        yield counter("workers_lost", "Workers that died.", {"": self._workers_lost})
        yield gauge("in_flight", "Items that workers are at.", status.in_flight)
        yield gauge("slots", "Items that workers may be at.", status.slots)
        if status.limit is not None:
            yield gauge("limit", "How many may be in flight, where that is found out.", status.limit)
        yield gauge("retrying", "Items that wait for another try.", status.retrying)
        yield gauge("parked_keys", "Keys (hosts) of which nothing may start now.", len(status.parked))
        yield gauge("memory_bytes", "RSS of this process and its workers.", self._bytes)
        histogram = HistogramMetricFamily("atonce_attempt_seconds", "How long attempts take.", labels=["run"])
        summed, total = [], 0
        for bound, count in zip((*BOUNDS, math.inf), counts, strict=True):
            total += count
            summed.append(("+Inf" if bound == math.inf else repr(bound), total))
        histogram.add_metric([self._name], summed, seconds)
        yield histogram

    def describe(self) -> list[Any]:
        """Asked when it is registered: names are all its own."""
        return []
