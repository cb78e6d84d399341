"""A limit for each key: runs against several simulated hosts, each with a place where it ends, in fake time."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from atonce import Outcome, Retry, Run
from atonce.engine.ahead import LEAST
from atonce.engine.circuit import LASTING, PROBES, REFUSALS, TRIP
from atonce.engine.keyed import START, KeyedBacklog
from atonce.engine.lane import Lane
from atonce.errors import Unreachable
from atonce.testing import FakeClock, FakePlacement, simulate
from atonce.worker.outbox import Failure, Report

Item = tuple[str, int]  # host and number


class Refused(Exception):
    overload = True

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("too many")
        self.retry_after = retry_after


class Silent(Exception):
    unreachable = True


class NoConnection(Silent):
    """As a connection that is refused: too much, or nobody there."""

    overload = silent = True


class Host:
    """Answers after `latency` seconds, as long as no more than `most` are inside; refuses the others at once. A new connection
    takes `handshake` seconds more, and they are made one after another."""

    def __init__(self, clock: FakeClock, most: float = math.inf, latency: float = 0.1, handshake: float = 0.0) -> None:
        self.clock, self.most, self.latency, self.handshake = clock, most, latency, handshake
        self.connections: list[float] = []  # when each is free
        self.made_at = 0.0  # the last one
        self.requests = self.refused = self.high_water = 0
        self.down_until = -math.inf
        self.sent_at: list[float] = []
        self._ends: list[float] = []

    def __call__(self) -> float:
        """Seconds that this request takes; raises where it is refused."""
        now = self.clock()
        self.requests += 1
        self.sent_at.append(now)
        if now < self.down_until:
            raise Silent("nobody there")
        self._ends = [end for end in self._ends if end > now]
        if len(self._ends) >= self.most:
            self.refused += 1
            raise Refused
        takes = self._connect(now) + self.latency
        self._ends.append(now + takes)
        self.high_water = max(self.high_water, len(self._ends))
        return takes

    def _connect(self, now: float) -> float:
        """Seconds until there is a connection: at once where one is free."""
        self.made_at = max(self.made_at, now)
        for number, free_at in enumerate(self.connections):
            if free_at <= now + 1e-9:
                self.connections[number] = now + self.latency
                return 0.0
        self.made_at += self.handshake
        self.connections.append(self.made_at + self.latency)
        return self.made_at - now


def get(hosts: dict[str, Host], items: list[Item], clock: FakeClock, **options: Any) -> Run[Any]:
    """A run over these hosts. An item takes what its host says, one that is refused 1 ms."""
    takes: dict[Item, float] = {}

    def fetch(item: Item) -> Item:
        takes[item] = 0.001
        takes[item] = hosts[item[0]]()
        return item

    placement = FakePlacement(lambda item: takes[item])
    retry = Retry(attempts=50, base=0.05, budget=5)
    told = {"concurrency": 64, "key": lambda item: item[0], "per_key": "auto", "retry": retry, **options}
    return simulate(fetch, items, placement=placement, clock=clock, **told)


def pages(host: str, count: int) -> list[Item]:
    return [(host, number) for number in range(count)]


def test_each_host_finds_its_own_limit() -> None:
    clock = FakeClock()
    hosts = {"small": Host(clock, 3), "large": Host(clock, 40)}
    run = get(hosts, pages("small", 400) + pages("large", 4000), clock)
    assert run.stats.failed == 0
    small, large = hosts["small"], hosts["large"]
    assert (small.high_water, large.high_water) == (3, 40)
    assert small.refused + large.refused <= 0.1 * 4400
    # one after another would be 13.3 s and 10 s: together as long as the slower one, and a fifth more to find out
    assert run.stats.seconds <= 1.2 * max(400 * 0.1 / 3, 4000 * 0.1 / 40)


def test_a_host_begins_with_a_few_however_many_slots_there_are() -> None:
    clock = FakeClock()
    hosts = {"a": Host(clock, latency=0.05)}
    get(hosts, pages("a", 300), clock)
    begin = hosts["a"].sent_at[0]
    assert hosts["a"].sent_at.count(begin) == START
    assert sum(at < begin + 0.05 for at in hosts["a"].sent_at) <= 2 * START  # a few more, while nothing comes back
    assert hosts["a"].high_water > 8 * START  # nobody refuses it: it grows


def test_a_host_whose_connections_are_dear_gets_few_and_the_other_many() -> None:
    """Twenty times as many requests in flight is what the limit alone would have found best for both."""
    clock = FakeClock()
    hosts = {"dear": Host(clock, latency=0.02, handshake=0.03), "cheap": Host(clock, latency=0.02)}
    run = get(hosts, [(name, n) for n in range(200) for name in hosts], clock, concurrency=500)
    assert run.stats.failed == 0
    assert 8 <= len(hosts["dear"].connections) <= 24
    assert len(hosts["cheap"].connections) > 2 * len(hosts["dear"].connections)
    # 16 connections take 0.5 s, 10 in all 0.6 s, all 200 at once 6 s
    assert run.stats.seconds <= 0.9


def test_all_hosts_together_have_no_more_than_there_are_slots() -> None:
    clock = FakeClock()
    hosts = {name: Host(clock) for name in "abcdefgh"}
    run = get(hosts, [(name, n) for name in hosts for n in range(500)], clock, concurrency=20)
    started = sorted((at, 1) for host in hosts.values() for at in host.sent_at)
    ends = [(at + 0.1, -1) for at, _ in started]
    most = level = 0
    for _, step in sorted(started + ends, key=lambda event: (round(event[0], 6), event[1])):
        level += step
        most = max(most, level)
    assert most == 20
    assert run.stats.seconds == pytest.approx(8 * 500 * 0.1 / 20, rel=0.1)


def test_a_full_host_at_the_head_of_the_list_does_not_idle_the_others() -> None:
    clock = FakeClock()
    hosts = {"slow": Host(clock, 1, latency=1.0), "quick": Host(clock)}
    items = pages("slow", LEAST // 2) + pages("quick", 500)
    done: dict[str, float] = {}

    def seen(outcome: Outcome[Any]) -> None:
        done[outcome.item[0]] = clock()

    begin = clock()
    get(hosts, items, clock, seen=seen)
    assert done["quick"] - begin < 10
    assert done["slow"] - begin > 400


@pytest.mark.parametrize("each", [2, 5])
def test_nor_does_one_of_which_more_come_than_are_looked_past_at_first(each: int) -> None:
    """Every second, or every fifth, of the list is of a host that takes one in five seconds."""
    clock = FakeClock()
    hosts = {"slow": Host(clock, 1, latency=5.0), "quick": Host(clock, latency=0.01)}
    count = 3 * LEAST
    items = [("slow" if number % each == 0 else "quick", number) for number in range(each * count)]
    done: dict[str, float] = {}

    class Enough(Exception):
        pass

    def seen(outcome: Outcome[Any]) -> None:
        done[outcome.item[0]] = clock()
        if clock() - begin > 60:
            raise Enough

    begin = clock()
    with pytest.raises(Enough):
        get(hosts, items, clock, seen=seen, concurrency=64)
    assert hosts["quick"].requests == (each - 1) * count
    assert done["quick"] - begin < 30


def test_retry_after_of_one_host_stops_it_and_no_other() -> None:
    clock = FakeClock()
    hosts = {"a": Host(clock), "b": Host(clock)}
    asked: list[float] = []

    def fetch(item: Item) -> Item:
        hosts[item[0]]()
        if item == ("a", 5) and not asked:
            asked.append(clock())
            raise Refused(30.0)
        return item

    begin = clock()
    run = simulate(
        fetch, pages("a", 100) + pages("b", 100), seconds=0.1, clock=clock, concurrency=64, key=lambda item: item[0],
        per_key="auto", retry=Retry(),
    )  # fmt: skip
    assert run.stats.failed == 0
    # those that were under way when it was said go on
    assert not [at for at in hosts["a"].sent_at if asked[0] + 0.2 < at < asked[0] + 30]
    assert max(hosts["b"].sent_at) < begin + 5


@pytest.mark.parametrize("retry", [None, Retry(max_wait=10)], ids=["no retry", "capped"])
def test_a_wait_that_a_host_asks_for_is_capped(retry: Retry | None) -> None:
    clock = FakeClock()

    def fetch(item: Item) -> Item:
        if item[1] == 0 and clock() == 1000.0:
            raise Refused(1e6)
        return item

    run = simulate(
        fetch, pages("a", 50), seconds=0.1, clock=clock, concurrency=4, key=lambda item: item[0], per_key="auto", retry=retry
    )
    assert run.stats.ok == 50 - (retry is None)
    assert run.stats.seconds < (150 if retry is None else 15)


def test_a_retry_over_budget_waits_alone() -> None:
    """What the budget puts off is that item's: its host asked for a second, and has one."""
    clock = FakeClock()
    refused: list[float] = []

    def fetch(item: Item) -> Item:
        if item[1] < 40 and item not in seen:
            seen.add(item)
            refused.append(clock())
            raise Refused(1.0)
        return item

    seen: set[Item] = set()
    times: dict[int, float] = {}
    run = simulate(
        fetch, pages("a", 200), seconds=0.1, clock=clock, concurrency=40, key=lambda item: item[0], per_key=40,
        retry=Retry(budget=0.001), seen=lambda outcome: times.update({outcome.index: clock()}),
    )  # fmt: skip
    assert run.stats.failed == 0
    assert max(times[number] for number in range(40, 200)) < max(refused) + 3
    assert max(times[number] for number in range(40)) > max(refused) + 7  # 30 of them at 3 a second


@pytest.mark.parametrize("retry", [None, Retry(attempts=1)])
def test_a_wait_that_is_asked_for_holds_for_the_key_whatever_becomes_of_the_item(retry: Retry | None) -> None:
    clock = FakeClock()
    started: list[float] = []

    def fetch(item: Item) -> Item:
        started.append(clock())
        if item[1] == 0:
            raise Refused(20.0)
        return item

    run = simulate(
        fetch, pages("a", 9), seconds=0.1, clock=clock, concurrency=8, key=lambda item: item[0], per_key=2, retry=retry
    )
    assert run.stats.failed == 1
    assert sorted(started)[2] >= started[0] + 20.0


# ── hosts that do not answer ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_host_costs_few_attempts_and_holds_nobody_up() -> None:
    clock = FakeClock()
    hosts = {"dead": Host(clock), "live": Host(clock)}
    hosts["dead"].down_until = math.inf
    run = get(hosts, pages("dead", 5000) + pages("live", 500), clock, retry=Retry())
    assert run.stats.ok == 500
    # those that were under way when it opened, and the probes
    assert TRIP <= hosts["dead"].requests <= TRIP + 4 * START + PROBES
    kinds = Counter(type(outcome.error) for outcome in run.failures)
    assert kinds[Unreachable] >= 4900
    assert run.stats.seconds < 60
    error = next(outcome.error for outcome in run.failures if isinstance(outcome.error, Unreachable))
    assert isinstance(error.last, Silent)
    assert "dead has failed" in str(error)
    assert "nobody there" in str(error)


@pytest.mark.parametrize("per_key", ["auto", 2])
def test_a_host_that_does_nothing_but_refuse_is_given_up_at_last(per_key: Any) -> None:
    """After some minutes of that, and no sooner: it took 98 minutes for 391 items. With two at a time all are refused once
    before, and wait for the budget of retries: they fail then, too, and not when their turn would have come."""
    clock = FakeClock()
    hosts = {"full": Host(clock, most=0), "live": Host(clock)}
    run = get(hosts, pages("full", 2000) + pages("live", 500), clock, retry=Retry(), per_key=per_key)
    assert (run.stats.ok, run.stats.failed) == (500, 2000)
    assert LASTING < run.stats.seconds < LASTING + 60
    last = next(outcome.error for outcome in run.failures if isinstance(outcome.error, Unreachable))
    assert isinstance(last.last, Refused)
    assert "full has failed" in str(last)


@pytest.mark.parametrize("per_key", ["auto", 2])
def test_one_that_lets_something_through_now_and_then_is_not(per_key: Any) -> None:
    clock, asked = FakeClock(), [0]

    def fetch(item: Item) -> Item:
        asked[0] += 1
        if asked[0] % REFUSALS:
            raise Refused(5.0)
        return item

    told: dict[str, Any] = {"key": lambda item: item[0], "per_key": per_key, "concurrency": 16}
    run = simulate(fetch, pages("full", 400), seconds=0.1, clock=clock, retry=Retry(attempts=3), **told)
    assert run.stats.seconds > 2 * LASTING
    assert not any(isinstance(outcome.error, Unreachable) for outcome in run.failures)


def test_one_that_asks_for_a_long_pause_is_waited_for() -> None:
    clock = FakeClock()
    opens_at = clock() + 3 * LASTING

    def fetch(item: Item) -> Item:
        if clock() < opens_at:
            raise Refused(LASTING)
        return item

    told: dict[str, Any] = {"key": lambda item: item[0], "per_key": "auto", "concurrency": 16}
    run = simulate(fetch, pages("busy", 100), seconds=0.1, clock=clock, retry=Retry(attempts=9, max_wait=1000), **told)
    assert run.stats.failed == 0


def test_a_host_that_takes_no_connection_is_asked_no_slower_than_its_circuit_says() -> None:
    """Nobody there is not too many: each refused connection slowed the next one down, to one in 40 s."""
    clock, asked = FakeClock(), [0]

    def fetch(item: Item) -> Item:
        asked[0] += 1
        raise NoConnection

    told: dict[str, Any] = {"key": lambda item: item[0], "per_key": "auto", "concurrency": 16}
    run = simulate(fetch, pages("dead", 200), seconds=0.001, clock=clock, retry=Retry(attempts=3), **told)
    assert run.stats.failed == 200
    assert asked[0] <= TRIP + PROBES + START
    assert run.stats.seconds < 35  # probes after 1, 2, 4, 8 and 16 s


def test_answers_that_are_errors_let_a_pace_recover() -> None:
    """A few URLs answer 429 whatever the pace, the others 500: those were let through, and the next ones come sooner."""
    clock = FakeClock()

    def fetch(item: Item) -> Item:
        raise Refused if item[1] < 8 else ValueError("500")

    told: dict[str, Any] = {"key": lambda item: item[0], "per_key": "auto", "concurrency": 16}
    run = simulate(fetch, pages("a", 300), seconds=0.01, clock=clock, retry=Retry(attempts=3, on=Refused), **told)
    assert run.stats.failed == 300
    assert run.stats.seconds < 180  # at the slowest pace there is, 292 of them would take 24 minutes


def test_a_host_that_answers_others_is_not_dead() -> None:
    """Twenty were on their way when it answered the first of them: that the others broke off says nothing of the host."""
    backlog = KeyedBacklog(lambda item: item, 20)
    backlog.slots(64)
    backlog.extend(0, "a" * 60, 0.0)
    first = [index for index, _, _ in backlog.take(64, 0.0)]
    answer = Report(first[:1], first[:1], [0.0], [0.01], [0.0], [])
    broken = [Failure(index, Silent(), 0.0, 0.02, 0.0, None) for index in first[1:]]
    backlog.told(answer._replace(failures=broken), 0, 0.02)
    backlog.done(first)
    again = [index for index, _, _ in backlog.take(64, 0.02)]
    assert len(again) == 20
    backlog.told(Report(failures=[Failure(index, Silent(), 0.02, 0.03, 0.0, None) for index in again]), 0, 0.03)
    backlog.done(again)
    assert backlog.take(64, 0.03) == []  # these were started after it, and are more than ten


def test_a_host_that_comes_back_is_noticed_and_loses_nothing() -> None:
    clock = FakeClock()
    hosts = {"a": Host(clock)}
    hosts["a"].down_until = clock() + 12
    run = get(hosts, pages("a", 200), clock)
    assert run.stats.failed == 0
    assert run.stats.seconds < 25


def test_a_host_that_was_given_up_is_probed_later() -> None:
    """Items come slowly: those that come after its return are fetched."""
    clock = FakeClock()
    hosts = {"a": Host(clock), "b": Host(clock, latency=1.0)}
    hosts["a"].down_until = clock() + 100
    items = [item for n in range(300) for item in (("b", n), ("a", n))]
    run = get(hosts, items, clock, concurrency=1, retry=None)
    failed = [outcome.item[1] for outcome in run.failures]
    assert len(failed) >= 80
    assert max(failed) < 200
    assert hosts["a"].requests < 300 - len(failed) + TRIP + 4 * START + PROBES + 5


def test_failures_that_say_nothing_of_the_host_never_stop_it() -> None:
    def fetch(item: Item) -> Item:
        raise ValueError("not this one")

    run = simulate(fetch, pages("a", 200), seconds=0.1, concurrency=8, key=lambda item: item[0], per_key="auto")
    assert Counter(type(outcome.error) for outcome in run.failures) == {ValueError: 200}


# ── hosts that ask for a pause between two requests ──────────────────────────────────────────────────────────────────


class Polite:
    """The key of an item; what comes back says how far apart its host wants requests."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, item: Item) -> str:
        return item[0]

    def spacing(self, came: Any) -> float | None:
        return None if isinstance(came, Exception) else self.seconds.get(came[0], 0.0)


@pytest.mark.parametrize("per_key", ["auto", 8, None])
def test_a_host_that_wants_a_pause_gets_it_from_the_first_request_on(per_key: Any) -> None:
    clock = FakeClock()
    hosts = {"slow": Host(clock, latency=0.3), "quick": Host(clock, latency=0.05)}
    begin = clock()
    run = get(hosts, pages("slow", 20) + pages("quick", 400), clock, key=Polite(slow=2.0), per_key=per_key)
    assert run.stats.failed == 0
    sent = hosts["slow"].sent_at
    assert all(later - sooner >= 2.0 - 1e-9 for sooner, later in pairwise(sent))
    assert sent[-1] - sent[0] <= 19 * 2.01
    assert max(hosts["quick"].sent_at) < begin + 8


def test_pauses_shorter_than_an_answer_leave_several_in_flight() -> None:
    clock = FakeClock()
    hosts = {"a": Host(clock, latency=2.0)}
    get(hosts, pages("a", 50), clock, key=Polite(a=0.5))
    sent = hosts["a"].sent_at
    assert sent[1] - sent[0] >= 2.0  # nothing was known before
    assert all(later - sooner >= 0.5 - 1e-9 for sooner, later in pairwise(sent))
    assert hosts["a"].high_water == 4


def test_until_a_host_has_told_one_request_at_a_time_is_in_flight() -> None:
    clock = FakeClock()
    hosts = {"a": Host(clock)}
    attempts: list[float] = []

    def fetch(item: Item) -> Item:
        attempts.append(clock())
        if len(attempts) <= 3:
            raise Refused
        return item

    run = simulate(
        fetch, pages("a", 50), seconds=0.1, clock=clock, concurrency=8, key=Polite(a=0.0), per_key=8,
        retry=Retry(attempts=9, base=1.0),
    )  # fmt: skip
    assert run.stats.failed == 0
    assert hosts["a"].refused == 0
    assert all(later - sooner >= 0.1 - 1e-9 for sooner, later in pairwise(attempts[:5]))
    assert attempts.count(attempts[4]) == 8


def test_the_reason_says_that_a_pause_was_asked_for() -> None:
    clock = FakeClock()
    run = get({"a": Host(clock)}, pages("a", 30), clock, key=Polite(a=2.0))
    assert run.stats.why == "a: one start each 2 s, as was asked for"


# ── what is remembered ───────────────────────────────────────────────────────────────────────────────────────────────


class Memory:
    def __init__(self, **starts: int) -> None:
        self.starts, self.told = starts, dict[str, int]()

    def start(self, key: Any) -> int | None:
        return self.starts.get(key)

    def learned(self, key: Any, limit: int) -> None:
        self.told[key] = limit


def test_it_begins_with_what_is_remembered_and_tells_what_it_learned() -> None:
    clock, memory = FakeClock(), Memory(known=11)
    hosts = {"known": Host(clock, latency=0.05), "new": Host(clock, 7, latency=0.05), "brief": Host(clock)}
    get(hosts, pages("known", 600) + pages("new", 600) + pages("brief", 3), clock, per_key=memory)
    for name, start in (("known", 11), ("new", START)):
        begin = hosts[name].sent_at[0]
        assert hosts[name].sent_at.count(begin) == start
    assert memory.told["known"] > 11
    assert memory.told["new"] == 7
    assert "brief" not in memory.told  # three items say nothing


def test_what_is_remembered_recovers() -> None:
    """A host that took one at a time when it was asked last, perhaps because this machine was busy, takes forty today."""
    clock, memory = FakeClock(), Memory(known=1)
    hosts = {"known": Host(clock, 40, latency=0.05)}
    get(hosts, pages("known", 1000), clock, per_key=memory)
    assert hosts["known"].high_water == 40
    assert memory.told["known"] >= 32


def test_a_host_that_the_list_comes_back_to_has_not_been_forgotten() -> None:
    clock = FakeClock()
    hosts = {"a": Host(clock, latency=0.05), "b": Host(clock, latency=0.05)}
    get(hosts, pages("a", 500) + pages("b", 500) + [("a", 1000 + n) for n in range(500)], clock, concurrency=8)
    backlog = KeyedBacklog(lambda item: item, "auto")
    backlog.slots(8)
    for index in range(2000):  # a host an item: what is kept is bounded
        backlog.extend(index, [index], 0.0)
        backlog.take(1, 0.0)
        backlog.told(Report([index], [0], [0.0], [0.1], [0.0], []), 0, 0.1)
        backlog.done([index])
        backlog.forget([Outcome(index, index, True)])
    assert len(backlog._lanes) <= 1001


def test_what_comes_back_together_makes_as_much_room_as_one_by_one() -> None:
    """A report has all that ended since the last one, and only then is there room: the last was in flight with the first."""
    backlog = KeyedBacklog(lambda item: item, "auto")
    backlog.slots(64)
    backlog.extend(0, "a" * 40, 0.0)
    taken = [index for index, _, _ in backlog.take(64, 0.0)]
    backlog.told(Report(taken, taken, [0.0] * START, [0.1] * START, [0.0] * START, []), 0, 0.1)
    backlog.done(taken)
    assert len(backlog.take(64, 0.1)) == 4 * START  # all took the same: else three times


def test_what_was_fine_beside_a_refusal_was_accepted() -> None:
    backlog = KeyedBacklog(lambda item: item, Memory(a=10))
    backlog.slots(64)
    backlog.extend(0, "a" * 40, 0.0)
    taken = [index for index, _, _ in backlog.take(64, 0.0)]
    assert len(taken) == 10
    ended = Report(taken[:3], taken[:3], [0.0] * 3, [0.1] * 3, [0.0] * 3, [])
    backlog.told(ended._replace(failures=[Failure(taken[3], Refused(), 0.0, 0.1, 0.0, None)]), 0, 0.1)
    backlog.done(taken[:4])
    assert 9 <= 6 + len(backlog.take(64, 0.1)) <= 10 + 6  # of ten one was refused, and three have made room for more


@pytest.mark.parametrize(
    ("answered_at", "opened_at", "unserved"),
    [
        (-math.inf, -math.inf, False),  # nobody is answered
        (9.0, -math.inf, False),  # nor since it started
        (12.0, -math.inf, True),
        (12.0, 9.0, True),
        (12.0, 11.0, True),  # of those that start together, which is the first is chance
        (25.0, 20.0, False),  # a later connection was served: it waits for something else
    ],
)
def test_one_is_not_served_where_others_are_and_none_that_came_later(
    answered_at: float, opened_at: float, unserved: bool
) -> None:
    lane = Lane("a", None)
    lane.answered_at, lane.opened_at = answered_at, opened_at
    assert lane.is_unserved(started=10.0, ended=40.0) == unserved


def test_refusals_of_one_key_without_a_wait_lower_its_limit_and_no_other() -> None:
    backlog = KeyedBacklog(lambda item: item, "auto")
    backlog.slots(64)
    backlog.extend(0, "a" * 20 + "b" * 20, 0.0)
    taken = [index for index, _, _ in backlog.take(64, 0.0)]
    of_a = [index for index in taken if index < 20]
    assert len(of_a) == START
    backlog.told(Report(failures=[Failure(of_a[0], Refused(), 0.0, 0.1, 0.0, None)]), 0, 0.1)
    backlog.done(of_a[:1])
    assert backlog.take(64, 0.1) == [] or all(index >= 20 for index, _, _ in backlog.take(64, 0.1))
    assert backlog.why.startswith("3 of a: ")


def test_what_a_run_tells_of_its_limits_names_the_busiest_key() -> None:
    clock = FakeClock()
    hosts = {"a": Host(clock, 7), "b": Host(clock)}
    run = get(hosts, pages("b", 30) + pages("a", 600), clock)
    assert run.stats.limit is None  # 64 slots were asked for
    assert re.match("[78] of a: ", run.stats.why)  # 8 while that is being tried
    auto = get({"a": Host(clock, 7)}, pages("a", 600), clock, per_key=None, concurrency=32, most=100)
    assert auto.stats.limit is not None
    assert re.search(r"^\d+ in all, [78] of a: ", auto.stats.why)
