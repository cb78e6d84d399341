"""What was measured: one frozen value a claim, numbers only. Seconds are wall seconds unless they say otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from .machine import Machine

__all__ = [
    "Borrowed", "Carried", "Carrying", "Combined", "Computing", "Crowd", "Failing", "Fetched", "Held",
    "Holding", "Kind", "Kinds", "Lock", "Overlap", "Place", "Places", "Reconnecting", "Server",
    "Shape", "Spread", "Way",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overlap:
    """C1: the same waits one after another and together; `values` as they were returned."""

    waits: tuple[float, ...]
    apart: float
    together: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """C2: seconds for `requests` requests, with new connections that cost `cost` seconds, and with free ones."""

    requests: int
    cost: float
    anew: float
    kept: float
    anew_free: float
    kept_free: float
    opened_anew: int
    opened_kept: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """C3: the same requests one after another, and as coroutines with at most `in_flight` at a time."""

    requests: int
    hosts: int
    latency: float
    apart: float
    together: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make the same requests, and how many connections the server saw opened for it. `why`: where the limit on what
    is in flight was found while it ran, what it was in the end and why."""

    seconds: float
    connections: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """C4: the ways to ask one kind of server. `all_…`: every request in flight at once; `few_…`: the right number;
    `found`: coroutines, as many as atonce finds for each host."""

    cost: float
    sync: Way
    all_coroutines: Way
    all_threads: Way
    few_threads: Way
    few_coroutines: Way
    found: Way


@dataclass(frozen=True, slots=True)
class Crowd:
    """C4: `requests` requests to a server whose connections are free, and to one where they are not."""

    requests: int
    few: int
    friendly: Server
    costly: Server


@dataclass(frozen=True, slots=True)
class Place:
    """Where `items` items ran: how many process ids and thread ids their outcomes name."""

    model: str
    items: int
    pids: int
    threads: int


@dataclass(frozen=True, slots=True)
class Places:
    """C5."""

    coroutines: Place
    threads: Place
    processes: Place


@dataclass(frozen=True, slots=True)
class Borrowed:
    """C6: a plain function's requests one after another and on `slots` threads."""

    requests: int
    slots: int
    apart: float
    threads: float
    in_order: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What one unit in flight costs: kilobytes of resident memory, CPU microseconds; `at_once` was the peak."""

    kilobytes: float
    cpu_us: float
    seconds: float
    at_once: int


@dataclass(frozen=True, slots=True)
class Holding:
    """C7: `units` waits of `nap` seconds in flight; and the requests of C4 with `few` in flight, either way."""

    units: int
    nap: float
    coroutine: Held
    thread: Held
    requests: int
    few: int
    few_coroutines: float
    few_threads: float


@dataclass(frozen=True, slots=True)
class Computing:
    """C8: pure Python and a function that releases the GIL, one after another and on `hands` threads.

    `share`: what one thread alone got of a core, 1 on an idle machine. `cores`: what the threads of Python kept busy.
    """

    machine: Machine
    hands: int
    share: float
    cores: float
    python_alone: float
    python_threads: float
    native_alone: float
    native_threads: float


@dataclass(frozen=True, slots=True)
class Spread:
    """C9: pure Python one after another, and in `hands` processes.

    `starting`: seconds until the first item ran. `got`: how many cores the processes got (CPU seconds ÷ seconds).
    """

    cores: int
    hands: int
    alone: float
    processes: float
    starting: float
    got: float


@dataclass(frozen=True, slots=True)
class Carried:
    """Microseconds: for an item that is next to nothing, for a MB of bytes, for a MB of small objects."""

    item: float
    bytes_mb: float
    objects_mb: float


@dataclass(frozen=True, slots=True)
class Carrying:
    """C10."""

    threads: Carried
    processes: Carried


@dataclass(frozen=True, slots=True)
class Failing:
    """C11: three runs of `items` items, one of which fails.

    `raised_*`: by an exception in a thread; `exit_code`, `exit_told`: by os._exit in a thread, how that program ended
    and how many outcomes it had reported by then; `died_*`: by os._exit in a process.
    """

    items: int
    raised_ok: int
    raised_failed: int
    exit_code: int
    exit_told: int
    died_ok: int
    died_error: str
    died_failed: int


@dataclass(frozen=True, slots=True)
class Shape:
    """One model: total seconds, those before the first item, and the peak in flight in each process it used."""

    model: str
    seconds: float
    starting: float
    in_flight: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Combined:
    """C12: `requests` requests, each followed by `cpu` seconds of computing."""

    requests: int
    cpu: float
    shapes: tuple[Shape, ...]

    def shape(self, model: str) -> Shape:
        return next(shape for shape in self.shapes if shape.model == model)


@dataclass(frozen=True, slots=True)
class Kind:
    """A function: seconds an item, the `share` of them spent computing, and the model atonce chose for many of them."""

    name: str
    what: str
    computes: bool
    wall: float
    share: float
    chosen: str


@dataclass(frozen=True, slots=True)
class Kinds:
    """C13."""

    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """C14: how many cores `hands` threads kept busy (CPU seconds ÷ wall seconds), and one thread alone."""

    machine: Machine
    hands: int
    share: float
    python_cores: float
    native_cores: float
