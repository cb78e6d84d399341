"""From numbers to what is shown of them: bars, tables, lines. Pure, and nothing is said that was not measured."""

from __future__ import annotations

from dataclasses import dataclass

from . import measured as m
from .words import many, micro, s

__all__ = ["Bars", "Exhibit", "Line", "Table"]


@dataclass(frozen=True, slots=True)
class Bars:
    """(label, seconds, note) each, drawn to one scale."""

    rows: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The first `left` columns are text, the others flush right. A head may have several lines."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    text: str


Exhibit = Bars | Table | Line


def overlap(x: m.Overlap) -> list[Exhibit]:
    return [Bars((("one after another", x.apart, ""), ("as coroutines", x.together, "")))]


def reconnecting(x: m.Reconnecting) -> list[Exhibit]:
    dear = (
        ("connecting for each", x.anew, many(x.opened_anew, "connection")),
        ("one session", x.kept, many(x.opened_kept, "connection")),
    )
    free = (("connecting for each", x.anew_free, ""), ("one session", x.kept_free, ""))
    return [
        Line(f"{x.requests} requests; a new connection costs {s(x.cost)}, as a TLS handshake nearby may:"),
        Bars(dear),
        Line("and where a new connection costs next to nothing:"),
        Bars(free),
    ]


def fetched(x: m.Fetched) -> list[Exhibit]:
    return [
        Line(f"{x.requests} requests to {x.hosts} hosts, which answer after {s(x.latency)}:"),
        Bars((("one after another", x.apart, ""), (f"{x.in_flight} coroutines", x.together, ""))),
    ]


def crowd(x: m.Crowd) -> list[Exhibit]:
    rows = (
        ("one after another", "19 s", x.friendly.sync, x.costly.sync),
        (f"{x.requests} coroutines at once", "14.65 s", x.friendly.all_coroutines, x.costly.all_coroutines),
        (f"{x.few} threads", "3.4 s", x.friendly.few_threads, x.costly.few_threads),
        (f"{x.few} coroutines", "–", x.friendly.few_coroutines, x.costly.few_coroutines),
        (f"{x.requests} threads at once", "–", x.friendly.all_threads, x.costly.all_threads),
        ("as many as atonce finds", "–", x.friendly.found, x.costly.found),
    )
    head = ("", "friendly\nserver", "opened", "expensive\nconnections", "opened", "the\narticle")
    return [
        Line(
            f"Two kinds of server, alike but for this: at the second a host takes {s(x.costly.cost)} to let a new "
            f"connection in, one at a time. Opened: the connections that the server saw."
        ),
        Table(
            head,
            tuple(
                (label, f"{a.seconds:.2f} s", str(a.connections), f"{b.seconds:.2f} s", str(b.connections), article)
                for label, article, a, b in rows
            ),
        ),
        *(
            Line(f"Found at the {which}, the limit on what is in flight and why: {server.found.why}.")
            for which, server in (("friendly server", x.friendly), ("one with expensive connections", x.costly))
            if server.found.why
        ),
    ]


def places(x: m.Places) -> list[Exhibit]:
    rows = (x.coroutines, x.threads, x.processes)
    return [
        Table(
            ("", "items", "process ids", "thread ids"),
            tuple((place.model, str(place.items), str(place.pids), str(place.threads)) for place in rows),
        )
    ]


def borrowed(x: m.Borrowed) -> list[Exhibit]:
    return [
        Line(f"{x.requests} requests with the requests library:"),
        Bars((("one after another", x.apart, ""), (f"{x.slots} threads", x.threads, ""))),
    ]


def holding(x: m.Holding) -> list[Exhibit]:
    held = (("as coroutines", x.coroutine), ("as threads", x.thread))
    return [
        Line(f"{x.units} waits of {s(x.nap)}, all in flight, each way in a fresh process:"),
        Table(
            ("", "memory\neach", "CPU\neach", "in flight\nat once", "all done\nafter"),
            tuple(
                (label, f"{one.kilobytes:.1f} kB", micro(one.cpu_us), str(one.at_once), s(one.seconds)) for label, one in held
            ),
        ),
        Line(f"{x.requests} requests where connections are expensive, {x.few} in flight:"),
        Bars((("coroutines", x.few_coroutines, ""), ("threads", x.few_threads, ""))),
    ]


def computing(x: m.Computing) -> list[Exhibit]:
    return [
        Line("counting in pure Python, which holds the GIL:"),
        Bars((("one after another", x.python_alone, ""), (f"{x.hands} threads", x.python_threads, ""))),
        Line("SHA-256 of large blocks, which releases it:"),
        Bars((("one after another", x.native_alone, ""), (f"{x.hands} threads", x.native_threads, ""))),
    ]


def spread(x: m.Spread) -> list[Exhibit]:
    return [
        Line("counting in pure Python:"),
        Bars(
            (
                ("one after another", x.alone, ""),
                (f"{x.hands} processes", x.processes, f"{s(x.starting)} to start"),
            )
        ),
    ]


def carrying(x: m.Carrying) -> list[Exhibit]:
    rows = (
        ("an item that is next to nothing", x.threads.item, x.processes.item),
        ("a MB of bytes", x.threads.bytes_mb, x.processes.bytes_mb),
        ("a MB of small objects, pickled", x.threads.objects_mb, x.processes.objects_mb),
    )
    return [Table(("", "threads", "processes"), tuple((label, micro(a), micro(b)) for label, a, b in rows))]


def failing(x: m.Failing) -> list[Exhibit]:
    return [
        Line(f"{x.items} items, of which one fails, and how many of the {x.items - 1} others were reported:"),
        Table(
            ("", "the failure", "others"),
            (
                ("an exception in a thread", many(x.raised_failed, "failed item"), str(x.raised_ok)),
                ("a crash in a thread", f"the program ended, exit code {x.exit_code}", str(x.exit_told)),
                ("a crash in a process", f"{many(x.died_failed, 'failed item')}, {x.died_error}", str(x.died_ok)),
            ),
            left=2,
        ),
    ]


def combined(x: m.Combined) -> list[Exhibit]:
    return [
        Line(f"{x.requests} requests, each followed by {s(x.cpu)} of computing:"),
        Table(
            ("", "time", "of which\nstarting", "processes", "in flight at\nonce, in each"),
            tuple(
                (
                    _MODELS[shape.model],
                    f"{shape.seconds:.2f} s",
                    f"{shape.starting:.2f} s",
                    str(len(shape.in_flight)),
                    " ".join(map(str, shape.in_flight)),
                )
                for shape in x.shapes
            ),
        ),
    ]


_MODELS = {
    "sync": "one after another",
    "coroutines": "coroutines",
    "processes": "processes",
    "hybrid": "coroutines in processes",
}


def kinds(x: m.Kinds) -> list[Exhibit]:
    return [
        Table(
            ("", "what it does", "time", "CPU", "atonce chose"),
            tuple(
                (kind.name, kind.what, f"{1e3 * kind.wall:.0f} ms", f"{100 * kind.share:.0f} %", kind.chosen)
                for kind in x.kinds
            ),
            left=2,
        )
    ]


def lock(x: m.Lock) -> list[Exhibit]:
    state = "on" if x.machine.gil else "off"
    return [
        Line(f"{x.machine.python}, {x.machine.build} build, GIL {state}:"),
        Table(
            ("", "cores kept busy"),
            (
                ("one thread of Python", f"{x.share:.2f}"),
                (f"{x.hands} threads of Python", f"{x.python_cores:.2f}"),
                (f"{x.hands} threads of SHA-256", f"{x.native_cores:.2f}"),
            ),
        ),
    ]
