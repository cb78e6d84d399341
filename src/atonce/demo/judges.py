"""From numbers to a verdict: pure functions, one a claim, in the order of the claims."""

from __future__ import annotations

from . import measured as m
from .verdict import CAVEAT, FAILS, FASTER, HOLDS, MUCH, Verdict, arrow, rough
from .words import listed, many, micro, s, times

__all__ = [
    "borrowed", "carrying", "combined", "computing", "crowd", "failing", "fetched", "holding", "kinds", "lock", "overlap",
    "places", "reconnecting", "spread",
]  # fmt: skip

# The share of its time from which on an item computes. Half would do on an idle machine; on a busy one what computes
# also waits, for a core.
COMPUTES = 0.25


def overlap(x: m.Overlap) -> Verdict:
    longest, figure = max(x.waits), arrow(x.apart, x.together)
    if x.values != x.waits:
        return Verdict(FAILS, f"The results came back as {list(x.values)}, not in the order of the inputs.", figure)
    saved = (x.apart - x.together) / (x.apart - longest) if x.apart > longest else 0.0
    total = " + ".join(f"{wait:g}" for wait in x.waits)
    told = f"{total} s took {s(x.together)}, and the results kept the order of the inputs: {list(x.values)}."
    if saved >= 0.8:
        return Verdict(HOLDS, f"{told} While one coroutine waits, the clocks of the others run on.", figure)
    if saved >= 0.3:
        return Verdict(CAVEAT, f"{told} That is more than the longest wait: most likely this machine is busy.", figure)
    return Verdict(FAILS, f"{told} The longest wait is {s(longest)}.", figure)


def reconnecting(x: m.Reconnecting) -> Verdict:
    figure = arrow(x.anew, x.kept)
    told = (
        f"{x.requests} requests over {many(x.opened_anew, 'connection')} took {s(x.anew)}, "
        f"over {many(x.opened_kept, 'connection')} {s(x.kept)}"
    )
    if x.anew < FASTER * x.kept:
        return Verdict(FAILS, f"{told}.", figure)
    if x.anew_free < 1.05 * x.kept_free:
        return Verdict(CAVEAT, f"{told}. Where connecting is free there was nothing to gain.", figure)
    bare = f"staying connected was {times(x.anew_free, x.kept_free)} as fast"
    return Verdict(HOLDS, f"{told}. Even where connecting costs next to nothing, {bare}.", figure)


def fetched(x: m.Fetched) -> Verdict:
    figure = arrow(x.apart, x.together)
    told = f"{x.requests} coroutines were {times(x.apart, x.together)} as fast as asking one by one"
    if x.apart >= MUCH * x.together:
        return Verdict(HOLDS, f"{told}: one thread waited for all the answers at once.", figure)
    if x.apart >= 1.1 * x.together:
        return Verdict(CAVEAT, f"{told}: faster, but not by much; most likely this machine is busy.", figure)
    return Verdict(FAILS, f"{told}.", figure)


def crowd(x: m.Crowd) -> Verdict:
    friendly, costly = x.friendly, x.costly
    figure = f"{costly.all_coroutines.seconds:.2f} → {costly.few_coroutines.seconds:.2f} s"
    there, here = _articles_order(costly), _articles_order(friendly)
    why = (
        f"A request that finds no free connection opens one: {x.requests} at once opened "
        f"{costly.all_coroutines.connections}, and where a host lets connections in one by one, they queue. "
        f"{x.few} at a time opened {costly.few_coroutines.connections} and used them again: "
        f"{s(costly.few_coroutines.seconds)} as coroutines, {s(costly.few_threads.seconds)} on threads. "
        f"{x.requests} threads at once, to compare: {s(costly.all_threads.seconds)}. What decides is how many are in "
        f"flight, not which kind they are. Left to find that for each host, atonce took {s(friendly.found.seconds)} and "
        f"{s(costly.found.seconds)}, with {many(costly.found.connections, 'connection')} where they are expensive."
    )
    if there and here:
        return Verdict(HOLDS, f"With both servers. {why}", figure)
    if there:
        first = (
            f"Where connections are expensive it does; the friendly server turns it round: {x.requests} coroutines took "
            f"{s(friendly.all_coroutines.seconds)}, {x.few} threads {s(friendly.few_threads.seconds)}."
        )
        return Verdict(CAVEAT, f"{first} {why}", figure)
    told = f"{s(costly.few_threads.seconds)} against {s(costly.all_coroutines.seconds)}"
    return Verdict(FAILS, f"{x.few} threads did not beat {x.requests} coroutines clearly with either server: {told}.", figure)


def places(x: m.Places) -> Verdict:
    one, pool = x.coroutines, x.threads
    figure = f"{one.threads} and {many(pool.threads, 'thread')}"
    told = (
        f"{one.items} coroutines ran in {_where(one)}, {pool.items} calls on a thread pool in {_where(pool)}; "
        f"with processes they ran in {x.processes.pids}."
    )
    holds = one.pids == one.threads == pool.pids == 1 < pool.threads
    return Verdict(HOLDS if holds else FAILS, told, figure)


def borrowed(x: m.Borrowed) -> Verdict:
    figure = arrow(x.apart, x.threads)
    if not x.in_order:
        return Verdict(FAILS, "The results did not come back in the order of the inputs.", figure)
    told = f"requests knows nothing of async, and {x.slots} threads made it {times(x.apart, x.threads)} as fast"
    if x.apart >= MUCH * x.threads:
        return Verdict(HOLDS, f"{told}: a thread that waits lets go of the GIL, so others wait beside it.", figure)
    return Verdict(FAILS, f"{told}.", figure)


def holding(x: m.Holding) -> Verdict:
    one, other = x.coroutine, x.thread
    figure = f"{one.kilobytes:.1f} / {other.kilobytes:.0f} kB each"
    costs = (
        f"In flight, a thread costs {other.kilobytes:.0f} kB and {micro(other.cpu_us)} of CPU, a coroutine "
        f"{one.kilobytes:.1f} kB and {micro(one.cpu_us)}"
    )
    if other.kilobytes < FASTER * one.kilobytes or other.cpu_us < FASTER * one.cpu_us:
        return Verdict(FAILS, f"{costs}: not clearly more of both.", figure)
    few = (
        f"{x.requests} requests, {x.few} in flight, took {s(x.few_coroutines)} as coroutines and {s(x.few_threads)} on threads"
    )
    if x.few_threads > MUCH * x.few_coroutines:
        return Verdict(HOLDS, f"{costs}. It shows with few in flight already: {few}.", figure)
    opposite = f"The opposite order in C4 comes of {x.requests} in flight against {x.few}, not of the kind."
    return Verdict(CAVEAT, f"{costs}. With few in flight that hardly counts: {few}. {opposite}", figure)


def computing(x: m.Computing) -> Verdict:
    figure = arrow(x.python_alone, x.python_threads)
    told = f"Counting took {s(x.python_threads)} on {x.hands} threads, {s(x.python_alone)} without"
    faster = x.python_alone >= FASTER * x.python_threads
    if faster and x.machine.gil and x.cores < FASTER:
        why = f"but the threads kept {x.cores:.2f} cores busy, so they did not compute at the same time"
        return Verdict(CAVEAT, f"{told}: faster, {why}.{rough(x.share)}", figure)
    if faster:
        why = f"the GIL is on, and the threads kept {x.cores:.2f} cores busy" if x.machine.gil else "this Python has no GIL"
        return Verdict(FAILS, f"{told}: {why}.", figure)
    if not x.machine.gil:
        return Verdict(CAVEAT, f"{told}, but not because of the GIL: this Python has none.{rough(x.share)}", figure)
    native = f"{s(x.native_threads)} instead of {s(x.native_alone)}"
    if x.native_alone >= FASTER * x.native_threads:
        but = "But SHA-256 lets go of the GIL while it computes, as much native code does"
        return Verdict(CAVEAT, f"{told}. {but}, and was faster on threads: {native}.{rough(x.share)}", figure)
    also = f"SHA-256, which lets go of the GIL, could have gained and did not here: {native}"
    return Verdict(HOLDS, f"{told}. {also}.{rough(x.share, x.machine.cores)}", figure)


def spread(x: m.Spread) -> Verdict:
    figure = arrow(x.alone, x.processes)
    told = f"{x.hands} processes were {times(x.alone, x.processes)} as fast as a plain loop"
    start = f"Of their {s(x.processes)}, {s(x.starting)} went by before the first item ran."
    doubt = rough(x.got / min(x.hands, x.cores), x.cores, f"the processes got {x.got:.1f} of {x.cores} cores")
    if x.alone >= MUCH * x.processes:
        return Verdict(HOLDS, f"{told}: each has a GIL of its own, and the {x.cores} cores do the rest. {start}", figure)
    if x.alone >= 1.1 * x.processes:
        return Verdict(CAVEAT, f"{told}, not more. {start}{doubt}", figure)
    return Verdict(FAILS, f"{told}. {start}{doubt}", figure)


def carrying(x: m.Carrying) -> Verdict:
    near, far = x.threads, x.processes
    figure = f"{micro(far.bytes_mb)} a MB"
    if far.bytes_mb <= FASTER * near.bytes_mb:
        told = f"{micro(far.bytes_mb)} a MB to a process, {micro(near.bytes_mb)} to a thread"
        return Verdict(FAILS, f"Bytes took no longer to another process: {told}.", figure)
    told = (
        f"A thread is handed a reference. For a process each MB is written, sent and read: {micro(far.bytes_mb)} as "
        f"bytes, {micro(far.objects_mb)} as small objects"
    )
    item = f"{micro(far.item)} an item, {micro(near.item)} on threads"
    if far.item <= FASTER * near.item:
        return Verdict(CAVEAT, f"{told}. But not for small items: {item}, since atonce sends many at a time.", figure)
    return Verdict(HOLDS, f"{told}. Small items cost more too: {item}.", figure)


def failing(x: m.Failing) -> Verdict:
    rest = x.items - 1
    figure = f"{x.exit_told} and {x.died_ok} of {rest} saved"
    crash = (
        f"A crash in one thread ended the whole program (exit code {x.exit_code}), which had reported {x.exit_told} of "
        f"the {rest} other items by then"
    )
    process = f"The same crash in a process cost {many(x.died_failed, 'item')}, and {x.died_ok} others finished"
    if x.exit_code == 0 or x.exit_told >= rest or x.died_ok != rest:
        return Verdict(FAILS, f"{crash}. {process}.", figure)
    plain = f"{x.raised_ok} of the {rest} others finished"
    if x.raised_ok == rest:
        return Verdict(
            CAVEAT, f"{crash}. {process}. But an ordinary exception in a thread reaches nobody else: {plain}.", figure
        )
    return Verdict(HOLDS, f"{crash}. {process}. An exception in a thread reached others too: {plain}.", figure)


def combined(x: m.Combined) -> Verdict:
    both = x.shape("hybrid")
    figure = arrow(x.shape("sync").seconds, both.seconds)
    peaks = listed([str(peak) for peak in both.in_flight])
    told = f"{many(len(both.in_flight), 'process', 'processes')} had {peaks} requests in flight at the same time"
    if len(both.in_flight) < 2 or min(both.in_flight) < 2:
        return Verdict(FAILS, f"{told}.", figure)
    fastest = min(x.shapes, key=lambda shape: shape.seconds)
    if fastest is both:
        return Verdict(HOLDS, f"{told}, and no other way was faster.", figure)
    price = f"of the {s(both.seconds)}, {s(both.starting)} went by before the first request"
    less = f"For so little work {fastest.model} were faster still ({s(fastest.seconds)})"
    return Verdict(CAVEAT, f"{told}. {less}: {price}.", figure)


def kinds(x: m.Kinds) -> Verdict:
    shares = [f"{100 * kind.share:.0f}" for kind in x.kinds]
    figure = f"{', '.join(shares)} % CPU"
    wrong = [kind.name for kind in x.kinds if (kind.share >= COMPUTES) != kind.computes]
    if wrong:
        return Verdict(FAILS, f"The share of time spent computing does not tell what {listed(wrong)} is.", figure)
    computes = listed([kind.name for kind in x.kinds if kind.computes])
    waits = listed([kind.name for kind in x.kinds if not kind.computes])
    told = f"CPU time ÷ time tells them apart: {computes} compute, {waits} wait"
    return Verdict(HOLDS, f"{told}; and of it followed what atonce chose for many of each.", figure)


def lock(x: m.Lock) -> Verdict:
    figure = f"{x.python_cores:.2f} / {x.native_cores:.2f} cores"
    told = (
        f"One thread kept {x.share:.2f} cores busy, {x.hands} threads of Python {x.python_cores:.2f}, of SHA-256 "
        f"{x.native_cores:.2f}"
    )
    if x.python_cores >= FASTER:  # without parallelism there is no more than one
        why = "though the GIL is on" if x.machine.gil else "since this build of Python has no GIL"
        return Verdict(FAILS, f"{told}, {why}.", figure)
    if x.native_cores >= FASTER:
        free = "Builds of Python without a GIL exist since 3.13"
        this = "this is not one" if x.machine.build == "default" else "this is one"
        return Verdict(CAVEAT, f"{told}: what lets go of the GIL is parallel on any build. {free}; {this}.", figure)
    if x.machine.cores == 1:
        return Verdict(HOLDS, f"{told}.{rough(x.share, 1)}", figure)
    more = "SHA-256 lets go of the GIL and could have used more, but got no more here"
    return Verdict(HOLDS, f"{told}. {more}.", figure)


def _articles_order(x: m.Server) -> bool:
    """All at once as coroutines beats one after another, and a few threads clearly beat both."""
    return x.sync.seconds > x.all_coroutines.seconds > FASTER * x.few_threads.seconds


def _where(place: m.Place) -> str:
    return f"{many(place.threads, 'thread')} of {many(place.pids, 'process', 'processes')}"
