"""A storm, drawn from its seed: the runs, what each item does, and what will happen to the processes. Pure."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from deeds import Deed, key_of

from atonce import Rate, Retry

__all__ = ["MODELS", "Run", "Storm", "forecast"]

MODELS: dict[str, dict[str, Any]] = {
    "sync": {"model": "sync"},
    "coroutines": {"model": "coroutines", "concurrency": 8},
    "threads": {"model": "threads", "concurrency": 4},
    "processes": {"model": "processes", "parallelism": 2},
    "hybrid-coroutines": {"model": "hybrid", "parallelism": 2, "concurrency": 4},
    "hybrid-threads": {"model": "hybrid", "parallelism": 2, "concurrency": 3},
    "auto": {"model": "auto"},
}
DRIVERS = ("stream", "map", "run", "astream", "amap", "arun", "executor")
SOURCES = ("list", "generator", "slow", "raising", "endless", "async", "slow async")
KILLERS = ("os._exit", "SIGKILL", "SIGSEGV")
# what may happen to processes, and to a run that has any
STRIKES = ("kill", "kill", "kill", "stop", "stop template", "kill template")


@dataclasses.dataclass(frozen=True)
class Run:
    """One call of atonce: `take` is how many outcomes the consumer takes of an endless source."""

    shape: str
    driver: str
    source: str
    deeds: list[Deed]
    options: dict[str, Any]
    take: int | None
    slow_consumer: bool

    @property
    def awaits(self) -> bool:
        return "coroutines" in self.shape

    @property
    def has_processes(self) -> bool:
        return self.shape in ("processes", "hybrid-coroutines", "hybrid-threads", "auto")

    @property
    def ordered(self) -> bool:
        return self.driver in ("map", "amap", "run", "arun") or bool(self.options.get("ordered"))

    @property
    def attempts(self) -> int:
        retry = self.options.get("retry")
        return retry.attempts if retry else 1

    def __str__(self) -> str:
        kinds = {kind: sum(deed.kind == kind for deed in self.deeds) for kind in {deed.kind for deed in self.deeds}}
        options = {name: value for name, value in self.options.items() if name not in ("setup", "key")}
        named = [name for name in ("setup", "key") if name in self.options]
        return f"{self.driver}, {self.source}, {self.shape}, {options} {named}, {len(self.deeds)} items {kinds}"


@dataclasses.dataclass(frozen=True)
class Storm:
    """`actions` are (seconds to wait, what), see `chaos`. `descriptors`: seconds for which there are none left."""

    seed: int
    runs: list[Run]
    actions: list[tuple[float, str]]
    descriptors: float

    @property
    def signal(self) -> str | None:
        return next((what for _, what in self.actions if what.startswith("SIG")), None)

    def strikes(self, *what: str) -> int:
        return sum(action in what for _, action in self.actions)

    def __str__(self) -> str:
        actions = ", ".join(f"{what} after {seconds:.2f} s" for seconds, what in self.actions) or "nothing"
        none = f"; no descriptors for {self.descriptors:.1f} s" if self.descriptors else ""
        return "\n".join([f"storm {self.seed}: {actions}{none}", *(f"  {run}" for run in self.runs)])


def forecast(seed: int) -> Storm:
    rng = random.Random(seed)
    roll = rng.random()
    signal = "SIGINT" if roll < 0.2 else "SIGTERM" if roll < 0.27 else None
    count = 1 if signal else rng.choice([1, 1, 1, 2, 3])
    runs = [_run(rng) for _ in range(count)]
    actions: list[tuple[float, str]] = []
    if any(run.has_processes for run in runs) and rng.random() < 0.6:
        actions = [(rng.choice([0.02, 0.1, 0.4]) * rng.random(), rng.choice(STRIKES)) for _ in range(rng.randint(1, 5))]
    if signal:
        actions.insert(rng.randint(0, len(actions)), (rng.uniform(0.0, 0.6), signal))
    descriptors = rng.uniform(0.1, 0.6) if signal is None and rng.random() < 0.1 else 0.0
    return Storm(seed, runs, actions, descriptors)


def _run(rng: random.Random) -> Run:
    shape = rng.choice(list(MODELS))
    driver = rng.choice(DRIVERS if shape not in ("sync", "auto") else DRIVERS[:-1])
    source = "list" if driver == "executor" else rng.choice(SOURCES)
    if driver in ("run", "arun") and source == "endless":
        source = "slow"
    if driver == "executor" and shape == "hybrid-coroutines":
        shape = "hybrid-threads"  # what is submitted to a hybrid executor runs in threads
    options = dict(MODELS[shape])
    if shape != "sync" and rng.random() < 0.5:
        options["timeout"] = 1.5
    if rng.random() < 0.5:
        options["retry"] = Retry(attempts=rng.randint(2, 4), base=0.01, cap=0.1, budget=5.0)
    if rng.random() < 0.25:
        options["rate"] = Rate(rng.choice([100, 1000]), burst=rng.choice([1, 20]))
    if rng.random() < 0.25 and driver != "executor":
        options["key"] = key_of
        if rng.random() < 0.7:
            options["per_key"] = rng.randint(1, 3)
    if rng.random() < 0.3 and driver != "executor":
        options["setup"] = True  # the storm puts its own there, which knows the folder
    if driver in ("stream", "astream"):
        options["ordered"] = rng.random() < 0.5
    if driver in ("map", "amap"):
        options["errors"] = "return"
    deeds = _deeds(rng, shape, options)
    return Run(
        shape,
        driver,
        source,
        deeds,
        options,
        take=rng.randint(1, len(deeds)) if source == "endless" else None,
        slow_consumer=rng.random() < 0.3,
    )


def _deeds(rng: random.Random, shape: str, options: dict[str, Any]) -> list[Deed]:
    """Mostly well-behaved, with some of every kind that this run can survive."""
    size = rng.choice([1, 5, 40, 200, 200, 1000, 4000])
    longest = rng.choice([0.0, 0.0, 0.002, 0.02, 0.1])
    computes = shape == "auto" and rng.random() < 0.6  # then it chooses processes
    if computes:
        size, longest = max(40, min(size, 200)), 0.03
    longest = min(longest, 6.0 / size * (1 if shape in ("sync", "auto", "processes") else 4))
    per_key = options.get("per_key")
    if per_key:
        longest = min(longest, 6.0 * per_key / size)
    odd = rng.choice([0.0, 0.02, 0.2])
    if "rate" in options:
        size = min(size, 200)
    kinds = ["raise", "flaky", "later", "big", "two", "sys.exit", "lock", "spin"]
    if shape in ("processes", "hybrid-coroutines", "hybrid-threads"):
        kinds += KILLERS
    if "timeout" in options:
        kinds += ["hang"]
    if shape == "hybrid-coroutines" and "timeout" in options:
        kinds += ["block"]
    # each costs a worker or a timeout: a few are as good as many
    left = {**dict.fromkeys(KILLERS, 2), "hang": 2, "block": 1, "big": 60, "later": 5}
    deeds = []
    for index in range(size):
        usual = "spin" if computes else "ok"
        kind = rng.choice(kinds) if rng.random() < odd else usual
        if left.get(kind, 1) <= 0:
            kind = usual
        if kind in left:
            left[kind] -= 1
        seconds = rng.uniform(longest / 3, longest)
        deeds.append(Deed(index, kind, seconds, rng.randint(1, 4)))
    return deeds
