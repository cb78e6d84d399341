"""The scenarios, the oracle, and the tables of docs/limit.md.

`python tests/engine/limit_scenarios.py` prints them, always the same, in some minutes; `--write` puts them into the page. A
scenario is scaled by `stretch`, which multiplies every latency, to see that no constant was fitted to one of them. The
algorithm was tuned with `SEEDS` and a stretch of 1; the rest was held back.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from limit_servers import (
    Bucket,
    Connections,
    Delay,
    Flaky,
    Handshakes,
    Queue,
    Server,
    Sharing,
    bandwidth,
    bimodal,
    lognormal,
    thrash,
)
from limit_simulator import Aimd, Fixed, Limiter, OneKey, Result, simulate

from atonce.engine.limit import AdaptiveLimit

GRID = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 130, 160, 200, 250, 320, 400, 500, 640, 800, 1000)
SEEDS, HELD_BACK = (1, 2, 3), (101, 102, 103)
PAGE = Path(__file__).parents[2] / "docs" / "limit.md"
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"


@dataclass(frozen=True)
class Scenario:
    name: str
    items: int
    server: Callable[[float], Server]  # of the stretch
    core: bool = True
    up_to: int = 1000  # where the oracle stops looking: far above the optimum that is known


def _exponential(mean: float) -> Callable[..., float]:
    return lambda rng, now: rng.expovariate(1 / mean)


def _constant(seconds: float) -> Callable[..., float]:
    return lambda rng, now: seconds


def _steps(s: float) -> Queue:
    at = (15 * s, 45 * s)
    return Queue(lambda t: 20 if t < at[0] else 5 if t < at[1] else 40, _exponential(0.1 * s), changes=at)


def _rival(s: float) -> Queue:
    # every 6 s somebody else takes three quarters of it, for 3 s
    changes = tuple(3 * s * n for n in range(1, 200))
    return Queue(lambda t: 20 if int(t / (3 * s)) % 2 == 0 else 5, _exponential(0.05 * s), changes=changes)


def _cold(s: float) -> Queue:
    return Queue(20, lambda rng, now: rng.expovariate(1 / (0.05 * s)) * (6 if now < 3 * s else 1))


def _drifting(s: float) -> Queue:
    return Queue(20, lambda rng, now: rng.expovariate(1 / (0.02 * s)) * (1 + now / (5 * s)))


SCENARIOS = (
    Scenario("delay 100 ms", 5000, lambda s: Delay(0.1 * s)),
    Scenario("delay lognormal 200 ms", 5000, lambda s: Delay(lognormal(0.2 * s))),
    Scenario("delay 1 s, 200 items", 200, lambda s: Delay(1.0 * s)),
    Scenario("flaky 5 %, 100 ms", 5000, lambda s: Flaky(0.1 * s, 0.05)),
    Scenario("20 servers of 50 ms (M/M)", 5000, lambda s: Queue(20, _exponential(0.05 * s))),
    Scenario("4 servers of 20 ms + 80 ms of network (M/D)", 5000, lambda s: Queue(4, _constant(0.02 * s), 0.08 * s)),
    Scenario("50/s, 50 ms", 2000, lambda s: Bucket(50, 0.05 * s, burst=5), up_to=32),
    Scenario("5/s, 20 ms", 500, lambda s: Bucket(5, 0.02 * s), up_to=4),
    Scenario("200/s, 0.5 s", 4000, lambda s: Bucket(200, 0.5 * s, burst=20), up_to=640),
    Scenario("16 connections, 100 ms", 3000, lambda s: Connections(16, 0.1 * s), up_to=64),
    Scenario("bandwidth filled by 4", 1000, lambda s: Sharing(bandwidth(4), 0.1 * s)),
    Scenario("thrash, peak near 25", 3000, lambda s: Sharing(thrash(25), 0.1 * s)),
    Scenario("capacity 20 → 5 → 40", 12000, _steps),
    Scenario("delay bimodal, 10 % of 1 s", 5000, lambda s: Delay(bimodal(0.05 * s, 1.0 * s, 0.1)), core=False),
    Scenario(
        "50/s, 50 ms, Retry-After 1 s", 2000, lambda s: Bucket(50, 0.05 * s, burst=10, retry_after=1.0), core=False, up_to=32
    ),
    Scenario(
        "10/s, 10 at once, Retry-After 5 s", 1000, lambda s: Bucket(10, 0.1 * s, 10, retry_after=5.0), core=False, up_to=32
    ),
    Scenario("50/s, quick refusals", 2000, lambda s: Bucket(50, 0.2 * s, burst=5, refusal=0.1), core=False, up_to=64),
    Scenario("100 connections, 300 ms lognormal", 5000, lambda s: Connections(100, lognormal(0.3 * s)), core=False, up_to=320),
    Scenario("100 ms, 1 % refused by chance", 20_000, lambda s: Flaky(0.1 * s, 0.0, refused=0.01), core=False),
    Scenario("a cold server", 5000, _cold, core=False),
    Scenario("a rival takes ¾, on and off", 5000, _rival, core=False),
    Scenario("items that become dearer", 5000, _drifting, core=False),
    Scenario("delay 20 ms, 100 items", 100, lambda s: Delay(0.02 * s), core=False),
)

# New connections that cost something: for one key, which begins with 4.
DOORS = (
    Scenario("19 ms, a new connection 28 ms, one by one; 50 items", 50, lambda s: Handshakes(0.028 * s, 0.019 * s)),
    Scenario("the same, 200 items", 200, lambda s: Handshakes(0.028 * s, 0.019 * s)),
    Scenario("the same, 2000 items", 2000, lambda s: Handshakes(0.028 * s, 0.019 * s)),
    Scenario("the same, lognormal, 200 items", 200, lambda s: Handshakes(0.028 * s, lognormal(0.019 * s))),
    Scenario("20 ms, 100 ms one by one", 2000, lambda s: Handshakes(0.1 * s, 0.02 * s)),
    Scenario("20 ms, 5 ms one by one", 2000, lambda s: Handshakes(0.005 * s, 0.02 * s)),
    Scenario("100 ms, 200 ms each for itself", 2000, lambda s: Handshakes(0.2 * s, 0.1 * s, one_by_one=False)),
    Scenario("delay 100 ms, connections for nothing", 5000, lambda s: Delay(0.1 * s)),
    Scenario("delay lognormal 200 ms, the same", 5000, lambda s: Delay(lognormal(0.2 * s))),
    Scenario("20 servers of 50 ms, the same", 5000, lambda s: Queue(20, _exponential(0.05 * s))),
    Scenario("50 ms ± 5 %, 10 000 items", 10_000, lambda s: Delay(lambda rng: 0.05 * s * rng.uniform(0.95, 1.05))),
    Scenario("4 servers of 20 ms + 80 ms of network, the same", 5000, lambda s: Queue(4, _constant(0.02 * s), 0.08 * s)),
    Scenario("16 connections of 100 ms, the same", 3000, lambda s: Connections(16, 0.1 * s), up_to=64),
    Scenario("100 connections of 300 ms, lognormal, the same", 5000, lambda s: Connections(100, lognormal(0.3 * s)), up_to=320),
    Scenario("50/s, 50 ms, the same", 2000, lambda s: Bucket(50, 0.05 * s, burst=5), up_to=32),
    Scenario("thrash, peak near 25, the same", 3000, lambda s: Sharing(thrash(25), 0.1 * s)),
)


def seconds_of(make: Callable[[], Limiter], scenario: Scenario, seed: int, stretch: float = 1.0) -> Result:
    return simulate(make(), scenario.server(stretch), scenario.items, seed, most_seconds=36000.0)


@cache
def oracle(scenario: Scenario, stretch: float = 1.0, seed: int = 7) -> tuple[int, float]:
    """The best fixed limit and its time."""
    best, best_seconds = 0, 36000.0
    for limit in GRID:
        if limit > scenario.up_to:
            break
        server = scenario.server(stretch)
        seconds = simulate(Fixed(limit), server, scenario.items, seed, most_seconds=best_seconds).seconds
        if seconds < best_seconds * 0.999:
            best, best_seconds = limit, seconds
    return best, best_seconds


@dataclass
class Row:
    """Time over the oracle's: the median of the seeds and the worst of them; and the most refusals a success."""

    ratio: float
    worst: float
    rejections: float


def measure(make: Callable[[], Limiter], scenario: Scenario, seeds: tuple[int, ...] = SEEDS, stretch: float = 1.0) -> Row:
    _, best = oracle(scenario, stretch)
    results = [seconds_of(make, scenario, seed, stretch) for seed in seeds]
    ratios = [result.seconds / best for result in results]
    rejections = max(result.rejections / max(1, result.ok) for result in results)
    return Row(statistics.median(ratios), max(ratios), rejections)


def geomean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


LIMITERS: dict[str, Callable[[], Limiter]] = {
    "adaptive": AdaptiveLimit,
    "AIMD": Aimd,
    "fixed 100": lambda: Fixed(100),
    "fixed 32": lambda: Fixed(32),
}

OF_A_KEY: dict[str, Callable[[], Limiter]] = {
    "adaptive": OneKey,
    "the limit alone": lambda: OneKey(paced=False),
    "fixed 100": lambda: Fixed(100),
    "fixed 10": lambda: Fixed(10),
}


def table(
    scenarios: tuple[Scenario, ...] = SCENARIOS,
    seeds: tuple[int, ...] = SEEDS,
    stretch: float = 1.0,
    limiters: dict[str, Callable[[], Limiter]] = LIMITERS,
) -> list[str]:
    names = list(limiters)
    lines = [f"| server | best limit | {' | '.join(names)} | rejections: {', '.join(names[:2])} |"]
    lines.append("|" + "---|" * (3 + len(names)))
    every: dict[str, list[Row]] = {name: [] for name in names}
    for scenario in scenarios:
        rows = {name: measure(make, scenario, seeds, stretch) for name, make in limiters.items()}
        for name, row in rows.items():
            every[name].append(row)
        cells = [f"{row.ratio:.2f}" for row in rows.values()]
        rejected = ", ".join(f"{rows[name].rejections:.2f}" for name in names[:2])
        lines.append(f"| {scenario.name} | {oracle(scenario, stretch)[0]} | {' | '.join(cells)} | {rejected} |")
    means = [f"**{geomean([row.ratio for row in every[name]]):.2f}**" for name in names]
    worst = [f"**{max(row.worst for row in every[name]):.2f}**" for name in names]
    most = ", ".join(f"{max(row.rejections for row in every[name]):.2f}" for name in names[:2])
    lines.append(f"| geometric mean | | {' | '.join(means)} | |")
    lines.append(f"| worst of all seeds | | {' | '.join(worst)} | {most} |")
    return lines


def tables() -> str:
    core = tuple(scenario for scenario in SCENARIOS if scenario.core)
    more = tuple(scenario for scenario in SCENARIOS if not scenario.core)
    parts = []
    for title, scenarios, seeds, stretch, limiters in (
        ("The scenarios", core, SEEDS, 1.0, LIMITERS),
        ("More servers", more, SEEDS, 1.0, LIMITERS),
        ("New connections, one key", DOORS, SEEDS, 1.0, OF_A_KEY),
        ("Seeds that were held back", SCENARIOS, HELD_BACK, 1.0, LIMITERS),
        ("New connections, one key, seeds that were held back", DOORS, HELD_BACK, 1.0, OF_A_KEY),
        ("Latencies × 0.3", SCENARIOS, HELD_BACK, 0.3, LIMITERS),
        ("Latencies × 3", SCENARIOS, HELD_BACK, 3.0, LIMITERS),
    ):
        parts.append(f"### {title}\n\n" + "\n".join(table(scenarios, seeds, stretch, limiters)) + "\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> None:
    found = tables()
    if "--write" in arguments:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n\n{found}\n{END}{after}", encoding="utf-8")
    else:
        print(found)


if __name__ == "__main__":
    main(sys.argv[1:])
