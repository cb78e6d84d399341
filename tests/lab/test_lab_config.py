from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import atonce.lab
from atonce.errors import UsageError
from atonce.lab import Config
from atonce.lab.__main__ import _parser


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hosts", 0),
        ("hosts", 255),
        ("hosts", 1.5),
        ("hosts", True),
        ("port", -1),
        ("port", 65536),
        ("latency", -0.1),
        ("latency", float("nan")),
        ("latency", float("inf")),
        ("latency", "1"),
        ("connection_cost", -1),
        ("max_connections", 0),
        ("over_limit", "drop"),
        ("seed", "x"),
        ("loop", "trio"),
        ("behaviours", [1]),
        ("hosts", 0.5),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name}="):
        Config(**{name: value})


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(
            hosts=4,
            port=8080,
            latency=0.05,
            connection_cost=1e-3,
            max_connections=7,
            over_limit="503",
            seed=-3,
            loop="asyncio",
            behaviours=("truncated/10?x=y", "tls-expired"),
        ),
    ],
)
def test_the_command_line_gives_the_same_configuration(config: Config) -> None:
    options = vars(_parser("lab").parse_args(config.arguments()))
    assert options.pop("child") is False
    assert Config(**options) == config


def test_every_public_name_is_there() -> None:
    for name in atonce.lab.__all__:
        assert getattr(atonce.lab, name).__name__ == name
    assert set(atonce.lab.__all__) <= set(dir(atonce.lab))
    with pytest.raises(AttributeError):
        _ = atonce.lab.nothing


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = {"asyncio", "uvloop", "subprocess", "http.client", "json"}
    code = f"import sys; before = set(sys.modules); import atonce.lab; print({heavy} & (set(sys.modules) - before))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
