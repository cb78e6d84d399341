"""The contract on clusters, and what only a cluster can do: real ones on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import cluster, needs, warm

from atonce.testing import contract

pytestmark = [pytest.mark.timeout(60, method="signal"), pytest.mark.slow]

# What stands for the rest in `make test`; `make clusters` runs all.
QUICK = {
    "each_item_ends_in_exactly_one_outcome",
    "an_outcome_says_when_and_where",
    "an_exception_brings_its_traceback",
    "what_cannot_be_pickled_costs_its_item_alone",
}


PACKAGES = {"dask": "distributed", "ray": "ray"}


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a cluster of this kind. Asked for by name in `parametrize`, so that it is there before a test looks what there is."""
    model = request.param
    needs(PACKAGES[model])
    with cluster(model) as (address, _):
        if model == "ray":  # it leaves files open when it is left: it stays connected here
            import ray

            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        warm(model, address)
        yield address
        if model == "ray":
            ray.shutdown()


def shapes(model: str) -> list[contract.Shape]:
    two = {"model": model, "parallelism": 2}
    many = {**two, "concurrency": 2}
    return [
        contract.Shape(f"{model}-call", two, here=False, at_once=2, threads_at_once=2, kills=True),
        contract.Shape(f"{model}-threads", many, here=False, at_once=4, threads_at_once=4, kills=True),
        contract.Shape(f"{model}-coroutines", many, awaits=True, here=False, at_once=4, threads_at_once=2, kills=True),
    ]


def parameters() -> Iterator[object]:
    for model in PACKAGES:
        for shape in shapes(model):
            for check in contract.CHECKS:
                quick = contract.name_of(check) in QUICK and not shape.name.endswith("threads")
                marks = [] if quick else [pytest.mark.soak]
                if model == "ray":  # it keeps processes for later, and its client threads and sockets
                    marks.append(pytest.mark.leaves("process", "descriptor", "thread"))
                yield pytest.param(model, shape, check, id=f"{shape}-{contract.name_of(check)}", marks=marks)


@pytest.mark.parametrize(("address", "shape", "check"), list(parameters()), indirect=["address"])
def test_contract(address: str, shape: contract.Shape, check: contract.Check, tmp_path: Path) -> None:
    options = {**shape.options, "cluster": address}
    check(contract.Shape(**{**vars(shape), "options": options}), tmp_path)
