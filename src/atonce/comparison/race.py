"""Which models are compared, and in which order they take their turns."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import api
from ..errors import PlanError, UsageError
from ..options import CLUSTERS, MODELS, Options
from ..outcome import Run
from ..plan.function import look_at
from ..plan.machine import usable_cpus
from ..plan.models import plan_for
from .result import Comparison, Turn
from .turn import in_fresh, in_this, packed

__all__ = ["UNLESS_TOLD", "compare", "models_for", "race"]

# A cluster may have to be started for it, and what interpreters can import is known when they have tried.
UNLESS_TOLD = tuple(model for model in MODELS if model not in (*CLUSTERS, "interpreters"))


def compare(
    fn: Callable[..., Any],
    items: Iterable[Any],
    /,
    *,
    models: Sequence[str] = (),
    rounds: int = 3,
    seed: int = 0,
    **options: Any,
) -> Comparison:
    """`{model: run(fn, items, model=model, **options) for model in models}`, timed, several rounds.

    Every item runs `rounds` times under each model: to call this is to say that it may. `models`: names as in `Options`, all
    that can run the function here unless told, `auto` among them (interpreters and clusters only when they are named). `seed`
    draws their order within a round. The rest is as in `run`.

    Raises UsageError for a model that cannot be, when it was named, and for items without an end (they are read first, into a
    list). An item that fails is counted; a run that cannot go on is that model's error.
    """
    values = Options.of(options)
    for name in ("journal", "trace", "metrics", "spans"):
        if options.get(name) is not None:
            raise UsageError(f"{name}= is of one run, and compare makes many", hint="leave it out")
    chosen, left_out = models_for(fn, values, models)
    every = list(items)
    return race(
        look_at(fn).name,
        functools.partial(_run, fn, every, options),
        chosen,
        items=len(every),
        rounds=rounds,
        seed=seed,
        left_out=left_out,
    )


def _run(fn: Callable[..., Any], items: Sequence[Any], options: dict[str, Any], model: str) -> Run[Any]:
    return api.run(fn, items, **{**options, "model": model})


def models_for(fn: Any, options: Options, models: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """(the models to compare, those that cannot be and why). A model that was named and cannot be is refused."""
    facts, cpus = look_at(fn), usable_cpus()
    if isinstance(models, str):
        models = [models]
    found, left_out = [], {}
    for model in models or UNLESS_TOLD:
        try:
            changed = options.but(model=model)
            if model != "auto":
                plan_for(model, facts, changed, cpus)
            found.append(model)
        except PlanError as error:
            if models:
                raise
            left_out[model] = error.what
    return list(dict.fromkeys(found)), left_out


def race(
    name: str,
    start: Callable[[str], Run[Any]],
    models: Sequence[str],
    *,
    items: int,
    rounds: int = 3,
    seed: int = 0,
    left_out: dict[str, str] | None = None,
    turned: Callable[[Turn], None] | None = None,
) -> Comparison:
    """`start(model)` timed for each model in each round. `turned` hears of each turn as it ends."""
    if not isinstance(rounds, int) or rounds < 1:
        raise UsageError(f"rounds={rounds!r} is not a whole number from 1")
    rng = random.Random(seed)
    turns: list[Turn] = []
    notes: list[str] = []
    payload = packed(start)
    if payload is None:
        notes.append("the function or its items cannot be pickled: all turns ran in this process, which keeps things warm")
    for number in range(1, rounds + 1):
        order = [model for model in models if not any(t.model == model and t.error for t in turns)]
        rng.shuffle(order)
        for model in order:
            turn = in_fresh(payload, model, number) if payload is not None else in_this(start, model, number)
            turns.append(turn)
            if turned is not None:
                turned(turn)
    return Comparison(name, items, rounds, tuple(turns), left_out or {}, tuple(notes))
