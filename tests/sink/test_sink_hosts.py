"""What came from which host."""

from __future__ import annotations

import pytest

from atonce.sink.hosts import MOST, HostTally, HostTime, in_bytes
from atonce.sink.summary import Summary


def test_the_slowest_hosts_by_their_mean() -> None:
    hosts = HostTally()
    for host, ok, size, seconds in (("a", True, 10, 0.1), ("b", True, 1000, 3.0), ("a", False, 0, 0.5), ("c", True, 5, 0.2)):
        hosts.add(host, ok, size, seconds)
    assert hosts.slowest(2) == (HostTime("b", 1, 0, 1000, 3.0), HostTime("a", 2, 1, 10, pytest.approx(0.3)))
    summary = Summary(3, 1, 2.0, hosts=hosts)
    assert summary.lines() == [
        "4 items: 3 ok, 1 failed; 2.00 s, 2/s, 1.0 kB from 3 hosts",
        "  slowest of 3 hosts: b 3.00 s (1), a 0.30 s (2, 1 failed), c 0.20 s (1)",
    ]
    told = summary.as_json()
    assert (told["bytes"], told["hosts"], told["slowest_hosts"][0]["host"]) == (1015, 3, "b")
    assert "| 1 | 0 | 3.00 s | `b` |" in summary.as_markdown("fetch")


def test_one_host_is_not_called_the_slowest() -> None:
    hosts = HostTally()
    hosts.add("a", True, 1, 0.1)
    assert Summary(1, 0, 1.0, hosts=hosts).lines() == ["1 item: 1 ok; 1.00 s, 1/s, 1 byte"]


def test_a_tally_of_many_hosts_stays_small() -> None:
    hosts = HostTally()
    for number in range(MOST + 500):
        hosts.add(f"host{number}", True, 1, 0.0 if number < MOST else 1.0)
    assert len(hosts) == MOST + 1
    assert hosts.size == MOST + 500
    assert hosts.slowest(1) == (HostTime("all others", 500, 0, 500, 1.0),)


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1640, "1.6 kB"), (9_960, "10 kB"), (163_840_000, "164 MB"), (2.5e12, "2.5 TB")],
)
def test_bytes_in_words(count: float, words: str) -> None:
    assert in_bytes(count) == words
