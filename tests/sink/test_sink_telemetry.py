"""Spans and metrics against the real libraries: what they say is what ran, and what cannot be is refused before that."""

from __future__ import annotations

import socket
import urllib.request

import pytest

import atonce
from atonce.errors import UsageError

HOSTILE = 'x"} 9\nforged{a="\x1b[2J'


def odd_fails(item: object) -> object:
    if isinstance(item, int) and item % 2:
        raise ValueError(f"no {item} {HOSTILE}")
    return item


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_scrape_during_a_run_tells_what_has_ended() -> None:
    pytest.importorskip("prometheus_client")
    port, texts = free_port(), []
    kind = type(HOSTILE, (Exception,), {})

    def fn(item: int) -> None:
        if item == 1:
            raise kind("no")
        if item == 2:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
                texts.append(answer.read().decode())

    run = atonce.run(fn, range(3), model="sync", metrics=f"127.0.0.1:{port}", name=HOSTILE)
    assert (run.stats.ok, run.stats.failed) == (2, 1)
    lines = texts[0].splitlines()
    assert not [line for line in lines if line.startswith("forged")]
    assert all(line.startswith(("# ", "atonce_")) for line in lines)
    assert "\x1b" not in texts[0]
    assert [line for line in lines if line.startswith("atonce_items_total")]
    with pytest.raises(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5):
        pass  # nobody listens after the run


def test_a_port_that_is_taken_is_refused_before_anything_runs() -> None:
    pytest.importorskip("prometheus_client")
    ran: list[int] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot be listened on"):
            atonce.run(ran.append, range(3), model="sync", metrics=f"127.0.0.1:{taken.getsockname()[1]}")
    assert ran == []


@pytest.mark.parametrize("where", ["9100", "host:", ":1", "h:x", "h:70000", 9100])
def test_what_is_no_address_is_refused(where: object) -> None:
    with pytest.raises(UsageError, match="not an address"):
        atonce.run(abs, [1], metrics=where)


def test_each_attempt_is_a_span_below_the_runs() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    run = atonce.run(odd_fails, [0, 1, HOSTILE], model="threads", spans=provider, name="odd")
    *attempts, root = exporter.get_finished_spans()
    assert root.name == "atonce odd"
    assert root.attributes["atonce.failed"] == run.stats.failed == 1
    assert sorted(span.attributes["atonce.index"] for span in attempts) == [0, 1, 2]
    assert {span.parent.span_id for span in attempts} == {root.context.span_id}
    assert all(span.start_time <= span.end_time for span in attempts)
    bad = [span for span in attempts if not span.status.is_ok and span.events]
    assert [span.events[0].attributes["exception.type"] for span in bad] == ["ValueError"]
    said = [str(span.attributes["atonce.item"]) + span.events[0].attributes["exception.message"] if span.events
            else str(span.attributes["atonce.item"]) for span in attempts]  # fmt: skip
    assert not [text for text in said if "\x1b" in text or "\n" in text]


def test_spans_that_would_go_nowhere_are_refused() -> None:
    pytest.importorskip("opentelemetry")
    ran: list[int] = []
    with pytest.raises(UsageError, match="no OpenTelemetry is set up"):
        atonce.run(ran.append, range(3), model="sync", spans=True)
    assert ran == []
