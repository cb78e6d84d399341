"""Each promise on each model. The checks are public: `atonce.testing.contract`."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.testing import contract

# what hangs fails alone, by a signal, instead of ending the session with a stack of every thread
pytestmark = pytest.mark.timeout(40, method="signal")


@pytest.mark.parametrize("check", contract.CHECKS, ids=contract.name_of)
@pytest.mark.parametrize("shape", contract.SHAPES, ids=str)
def test_contract(shape: contract.Shape, check: contract.Check, tmp_path: Path) -> None:
    check(shape, tmp_path)
