"""The `curl` transport: libcurl's multi interface, one thread, many transfers in flight.

    feed ──► todo ──► transfer 0 … C-1 (easy handles) ──► multi ──► done or broken ──► outbox
                           ▲   next hop or next item  ◄────────────────┘

One loop: wait for sockets, let libcurl act on them, collect what ended, start what is next; between, send what is due
and look for attempts that wait too long. Python runs a few times a request: a callback a header and a piece of body,
and this loop's own steps; everything else is libcurl's, without the GIL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar, cast

import pycurl

from ...errors import ItemError
from ...outcome import WorkerId
from ...worker.job import IDLE, Cells, Job
from ...worker.nesting import daemons_allowed
from ...worker.outbox import DRY, FLUSH, Failure, Outbox
from ...worker.runners import Runner
from ..limits import Policy
from ..page import Page
from ..request import Request
from ..robots import Question
from .easy import Transfer
from .ended import Ended
from .interest import interest
from .room import PAUSE, Room, attempts
from .sharing import Sharing

__all__ = ["Curl", "MultiRunner"]

_TIMEOUT = pycurl.SOCKET_TIMEOUT

# Seconds between reports while slots are empty: a host's limit lets the near side feed only as much as it hears has ended.
# A tenth of the usual: 64 slots of a server that answers within a millisecond then lose little.
STARVED = DRY
# Seconds that closing has, which takes some ms where no name is looked up.
CLOSES = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Curl:
    """What is run: never called, it brings the runner that knows what to do with a `Request`."""

    policy: Policy

    runners: ClassVar[tuple[str, ...]] = ("multi",)
    proxies: ClassVar[tuple[str, ...]] = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
    setup: ClassVar[None] = None
    atonce_runner: ClassVar[str] = "atonce.fetch.transport.curl:MultiRunner"

    def atonce_elsewhere(self, page: Page) -> Page | None:
        """What would come back of it from another process, which may put bodies on the shelf; None where no other may take
        part once this one has begun: it would not have its cookies, nor know how much has come here."""
        if self.policy.cookies is not None or self.policy.throttle is not None:
            return None
        return page._replace(body=b"") if self.policy.shelf is not None and self.policy.shelf.all else page

    def __call__(self, request: Request) -> Page:
        raise TypeError("the curl transport runs in its own runner; atonce.fetch is what uses it")


class MultiRunner(Runner):
    """C transfers in flight in a thread of its own."""

    enforces_timeout = True

    def __init__(self, job: Job, slots: int, outbox: Outbox, cells: Cells) -> None:
        super().__init__(job, slots, outbox, cells)
        self._policy: Policy = cast(Curl, job.fn).policy
        self._throttle = self._policy.throttle
        self._todo: deque[tuple[int, Request]] = deque()
        self._stopping = self._cancelled = False
        self._awake = False  # a wake-up is on its way
        self._flush_at: float | None = None

    # ── called from outside ──────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self._ears, self._mouth = socket.socketpair()
        self._ears.setblocking(False)
        self.outbox.arm = self._arm
        self._thread = threading.Thread(target=self._run, name="atonce-multi", daemon=daemons_allowed())
        self._thread.start()

    def feed(self, batch: Iterable[tuple[int, Any]]) -> None:
        self._todo.extend(batch)
        self._wake()

    def resize(self, slots: int) -> None:
        super().resize(slots)
        self._wake()

    def stop(self, *, cancel: bool) -> None:
        self._cancelled = cancel
        self._stopping = True
        self._wake()
        self._thread.join()

    def leave(self) -> None:
        self._cancelled = self._stopping = True
        self._wake()

    def _wake(self) -> None:
        # the flag goes down before the loop looks at what there is: what is set before a wake-up is seen after it
        if not self._awake:
            self._awake = True
            with contextlib.suppress(OSError):  # the thread has ended and closed it
                self._mouth.send(b"!")

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_SSL_SESSION)
        self._multi = multi = pycurl.CurlMulti()
        # looking up an attribute of it takes it a microsecond
        self._add, self._remove, self._ended = multi.add_handle, multi.remove_handle, multi.info_read
        self._sockets = interest()
        self._sockets.note(pycurl.POLL_IN, self._ears.fileno(), None, None)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._sockets.note)
        self._counts = self._sockets.ended  # how many times each request is sent
        self._transfers: list[Transfer] = []
        self._by_easy: dict[Any, Transfer] = {}
        self._idle: list[Transfer] = []
        self._holding: set[Transfer] = set()  # that wait for what another one asks, or for a descriptor
        self._released: deque[Transfer] = deque()
        self._resting: deque[tuple[float, Transfer]] = deque()  # until when
        self._starts_at = 0.0  # nothing new before
        self._paused: set[Transfer] = set()  # of whose bodies nothing is taken for a while
        self._room = Room()
        self._allow(self._room.most)
        self._sharing = Sharing()
        self._hung_up = Ended()
        self._in_flight = 0
        self._cpu = _CpuShare()
        try:
            self._loop()
        except BaseException as error:
            self.outbox.broken(error)
        finally:
            self._close()
            self.outbox.flush()

    def _loop(self) -> None:
        act, timeout, clock, ears = self._multi.socket_action, self._multi.timeout, time.monotonic, self._ears.fileno()
        finest = min(self._policy.timeouts.finest, 0.1 * (self.job.timeout or 10.0))
        now = clock()
        sweep_at = now + finest
        started = False
        while True:
            wanted = timeout()
            until = sweep_at if self._flush_at is None else min(sweep_at, self._flush_at)
            if self._resting:
                until = min(until, self._resting[0][0])
            if self._paused:
                until = min(until, min(transfer.resumes_at for transfer in self._paused))
            if not self._in_flight:
                until = now + 60.0 if self._flush_at is None else self._flush_at
            if self._starts_at:
                until = min(until, self._starts_at)
            seconds = 0.0 if started else max(0.0, until - now)  # what was just started may have ended already
            ready = self._sockets.wait(seconds if wanted < 0 else min(seconds, wanted / 1000))
            if self._sockets.ended and not self._counts:
                self._count()
            for fd, bits in ready:
                if fd == ears:
                    self._hear()
                else:
                    act(fd, bits)
            if wanted == 0 or (wanted > 0 and timeout() == 0):
                act(_TIMEOUT, 0)
            now = clock()
            self._collect(now)
            started = self._let_go(self._sharing.ready()) | self._take_up(now) | self._rested(now) | self._fill(now)
            if self._paused:
                self._take_again(now)
            if started:
                act(_TIMEOUT, 0)
            if now >= sweep_at:
                self._sweep(now)
                sweep_at = now + finest
            if self._flush_at is not None and not self._todo:
                self._flush_at = min(self._flush_at, self.outbox.flushed + STARVED)
            if (self._flush_at is not None and now >= self._flush_at) or not self._in_flight:
                self._flush(now)
            if self._stopping and (self._cancelled or not (self._in_flight or self._todo)):
                return

    def _count(self) -> None:
        """A connection is lost: what was sent with it goes out anew, by libcurl itself, and no more than twice from now on."""
        self._counts = True
        for transfer in self._transfers:
            transfer.count()

    def _hear(self) -> None:
        self._ears.recv(64)
        self._awake = False

    def _fill(self, now: float) -> bool:
        """Start what there is and may be started. True if anything was."""
        todo, idle, started = self._todo, self._idle, False
        if self._throttle is not None:  # a small body has come whole before anything could hold it back
            seconds = self._throttle.behind(now) if todo else 0.0
            self._starts_at = now + seconds if seconds else 0.0
            if seconds:
                return False
        view, add, wall = self.cells.view, self._add, time.time()
        most = min(self.slots, attempts(self._allowed))
        while todo and self._in_flight < most:
            transfer = idle.pop() if idle else self._new_transfer()
            index, request = todo.popleft()
            at = transfer.cell
            view[at + 1] = now
            view[at] = index
            self._in_flight += 1
            started = True
            refused = transfer.begin(index, request, now, wall)
            if refused is None:
                add(transfer.easy)
            else:
                self._go_on(transfer, refused, now)
                self.outbox.due(now)
        return started

    def _go_on(self, transfer: Transfer, result: Page | ItemError | Question | None, now: float) -> None:
        """With what a step of a transfer, which is not being performed, came to."""
        if result is None:
            self._add(transfer.easy)
        elif isinstance(result, Page | ItemError):
            self._end(transfer, result, now)
        else:
            self._holding.add(transfer)
            result.add_done_callback(lambda _: self._release(transfer))

    def _rest(self, transfer: Transfer, now: float) -> None:
        """There is no descriptor for it just now: fewer connections, and a pause."""
        self._allow(self._allowed - max(1, self._allowed // 8))
        self._holding.add(transfer)
        self._resting.append((now + PAUSE, transfer))

    def _allow(self, most: int) -> None:
        """So many connections, idle ones too: libcurl closes one that is idle to open another. Most of them under way, since
        those that would wait for another's end would wait within their time."""
        self._allowed = max(2, min(most, self._room.most))
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, self._allowed)

    def _rested(self, now: float) -> bool:
        """Those whose pause is over begin anew. True if there were any."""
        rested = False
        while self._resting and self._resting[0][0] <= now:
            _, transfer = self._resting.popleft()
            self._holding.discard(transfer)
            self._go_on(transfer, transfer.again(now), now)
            self.outbox.due(now)
            rested = True
        return rested

    def _take_again(self, now: float) -> None:
        """Of those bodies whose pause is over."""
        for transfer in [transfer for transfer in self._paused if transfer.resumes_at <= now]:
            self._paused.discard(transfer)
            transfer.take_again(now)  # which may pause it anew

    def _release(self, transfer: Transfer) -> None:
        """What it waits for is over: perhaps in another thread."""
        self._released.append(transfer)
        self._wake()

    def _take_up(self, now: float) -> bool:
        """Those that waited for others' questions go on. True if there were any."""
        taken = bool(self._released)
        while self._released:
            transfer = self._released.popleft()
            self._holding.discard(transfer)
            self._go_on(transfer, transfer.resume(now), now)
            self.outbox.due(now)
        return taken

    def _new_transfer(self) -> Transfer:
        number = len(self._transfers)
        cell, told = self.cells.at(number), (self._sharing, self._hung_up, self._sockets.opened, self._paused.add)
        transfer = Transfer(cell, self._policy, self._share, *told, counts=self._counts)
        transfer.who = WorkerId(os.getpid(), threading.get_ident(), number)
        self._transfers.append(transfer)
        self._by_easy[transfer.easy] = transfer
        return transfer

    def _collect(self, now: float) -> None:
        """What ended since the last look: results into the outbox, redirects back into the multi."""
        _, fine, failed = self._ended()
        if not (fine or failed):
            return
        remove, by_easy = self._remove, self._by_easy
        if self._paused:  # a pause ends with its hop
            self._paused.difference_update(by_easy[easy] for easy in (*fine, *(easy for easy, _, _ in failed)))
        for easy in fine:
            transfer = by_easy[easy]
            if transfer.is_turned_away():
                self._hang_up(transfer, now)
            remove(easy)
            result = transfer.done(now)
            if type(result) is Page:
                self._end(transfer, result, now)
            else:
                self._go_on(transfer, result, now)
        for easy, code, message in failed:
            transfer = by_easy[easy]
            again = transfer.went_nowhere(code, now)
            remove(easy)
            if again:
                self._add(easy)
            elif transfer.starves(now):
                self._rest(transfer, now)
            else:
                self._end(transfer, transfer.broken(code, message, now), now)
        self.outbox.due(now)

    def _hang_up(self, transfer: Transfer, now: float) -> None:
        """End the connection of a transfer that has ended, unless another has it already.

        libcurl has put it with those that it keeps, where it cannot be told to close it. It does when it finds it ended.
        """
        fd = transfer.easy.getinfo(pycurl.LASTSOCKET)
        if fd >= 0 and not self._sockets.waits_for(fd):
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as ended:
                ended.shutdown(socket.SHUT_RDWR)
                self._hung_up.add(transfer.connection, now)

    def _end(self, transfer: Transfer, result: Page | ItemError, now: float) -> None:
        started = transfer.started
        cpu = (now - started) * self._cpu.share
        if type(result) is Page:
            self.outbox.rows.append((transfer.index, result, started, now, cpu, transfer.who))
        else:
            self.outbox.failures.append(Failure(transfer.index, cast(ItemError, result), started, now, cpu, transfer.who))
            if transfer.tried is not None:
                transfer.tried.leave()
        transfer.request = transfer.tried = None
        if transfer.shares:
            self._sharing.connected(transfer)
        self.cells.view[transfer.cell] = IDLE
        self._idle.append(transfer)
        self._in_flight -= 1

    def _sweep(self, now: float) -> None:
        """End what is late."""
        for transfer in self._transfers:
            if transfer.request is None or transfer in self._holding or transfer in self._paused:
                continue
            if (error := self._late(transfer, now)) is not None:
                self._remove(transfer.easy)
                self._end(transfer, error, now)
        if self._allowed < self._room.most and not self._resting:
            self._allow(self._allowed + max(1, self._allowed // 8))
        self._let_go(self._sharing.impatient(now))
        self.outbox.due(now)

    def _let_go(self, waiting: list[Transfer]) -> bool:
        """Have them begin anew, not to wait for another's connection. True if there were any."""
        for transfer in waiting:
            self._remove(transfer.easy)
            transfer.go_ahead()
            self._add(transfer.easy)
        return bool(waiting)

    def _late(self, transfer: Transfer, now: float) -> ItemError | None:
        limit = self.job.timeout
        if limit is not None and now - transfer.started >= limit:
            from ...worker.runners.coroutine import timed_out

            return timed_out(transfer.index, transfer.request, limit)
        return transfer.late(now)

    def _arm(self) -> None:
        if self._flush_at is None:
            self._flush_at = self.outbox.flushed + FLUSH

    def _flush(self, now: float) -> None:
        self._flush_at = None
        self._cpu.update(now, self._in_flight)
        self.outbox.flush()

    def _close(self) -> None:
        for transfer in self._transfers:
            if transfer.request is not None:
                with contextlib.suppress(pycurl.error):  # after a bug of ours it may be out already
                    self._remove(transfer.easy)
            transfer.close()
        # closing waits for names that are looked up, also for those that nobody waits for any more: half a minute where a name
        # server does not answer, which nobody needs to see
        closing = threading.Thread(target=_close, args=(self._multi, self._share), name="atonce-lookup", daemon=True)
        closing.start()
        closing.join(CLOSES)
        self._sockets.close()
        self._mouth.close()
        self._ears.close()


def _close(*handles: Any) -> None:
    for handle in handles:
        handle.close()


class _CpuShare:
    """CPU of this thread over transfer-seconds: what one second of a transfer cost, the best that can be told of it."""

    def __init__(self) -> None:
        self.share = 0.0
        self._then = time.monotonic()
        self._cpu = time.thread_time()

    def update(self, now: float, in_flight: int) -> None:
        cpu = time.thread_time()
        if now > self._then:
            self.share = min(1.0, (cpu - self._cpu) / ((now - self._then) * max(1, in_flight)))
        self._cpu, self._then = cpu, now
