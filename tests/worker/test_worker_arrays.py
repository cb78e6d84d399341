"""Arrays and frames come back as they were, of the libraries that are installed; how they travel is in `test_worker_carry`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.worker import buffers

pytestmark = pytest.mark.timeout(40, method="signal")

SIZE = 4 * buffers.LEAST
PROCESSES: dict[str, Any] = {"model": "processes", "parallelism": 2}
needs_segments = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no anonymous shared memory here")


def same(item: Any) -> Any:
    return item


COUNT = SIZE // 8


ARRAYS: dict[str, Callable[[Any], Any]] = {
    "C": lambda np: np.arange(COUNT, dtype="f8").reshape(16, -1),
    "Fortran": lambda np: np.asfortranarray(np.arange(COUNT, dtype="f8").reshape(16, -1)),
    "transposed": lambda np: np.arange(COUNT, dtype="f8").reshape(16, -1).T,
    "strided": lambda np: np.arange(3 * COUNT, dtype="f8")[::3],
    "backwards": lambda np: np.arange(COUNT, dtype="f8")[::-1],
    "broadcast": lambda np: np.broadcast_to(np.arange(100.0), (COUNT // 100, 100)),
    "empty": lambda np: np.zeros((0, 7), dtype="f4"),
    "scalar": lambda np: np.array(3.5),
    "big-endian": lambda np: np.arange(COUNT, dtype=">f8"),
    "bool": lambda np: np.arange(SIZE) % 3 == 0,
    "complex": lambda np: np.arange(COUNT) * 1j,
    "datetime": lambda np: np.arange(COUNT).astype("M8[s]"),
    "structured": lambda np: np.zeros(COUNT, dtype=[("a", "i4"), ("b", "f8", (2,))]),
    "text": lambda np: np.array(["ab", "c"] * COUNT),
    "object": lambda np: np.array([{"k": 1}, "x", None], dtype=object),
    "masked": lambda np: np.ma.masked_greater(np.arange(COUNT), 5),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_comes_back_as_it_was(kind: str) -> None:
    np = pytest.importorskip("numpy")
    item = ARRAYS[kind](np)
    (value,) = atonce.map(same, [item], model="processes", parallelism=1)
    assert type(value) is type(item)
    assert value.dtype == item.dtype
    assert value.shape == item.shape
    np.testing.assert_array_equal(value, item)
    if item.flags.forc:
        assert value.flags.f_contiguous == item.flags.f_contiguous
    assert value.flags.writeable


def about(item: Any) -> Any:
    return item.flags.writeable, item.base is not None, float(item[0])


@needs_segments
def test_an_array_is_used_where_it_arrived_and_can_be_written_if_it_could() -> None:
    np = pytest.importorskip("numpy")
    fixed = np.ones(COUNT)
    fixed.flags.writeable = False
    assert list(atonce.map(about, [np.ones(COUNT), fixed], **PROCESSES)) == [(True, True, 1.0), (False, True, 1.0)]
    (one, two) = atonce.map(same, [np.ones(COUNT), fixed], **PROCESSES)
    assert (one.flags.writeable, two.flags.writeable) == (True, False)


def test_one_array_twice_in_an_item_is_one_array_there() -> None:
    np = pytest.importorskip("numpy")
    one = np.ones(COUNT)
    (value,) = atonce.map(same, [{"a": one, "b": [one]}], model="processes", parallelism=1)
    assert value["a"] is value["b"][0]


def test_a_mapped_file_comes_as_its_content(tmp_path: Path) -> None:
    """A copy, and writing to it does not write to the file: what a process pool does."""
    np = pytest.importorskip("numpy")
    item = np.memmap(tmp_path / "mapped", dtype="f8", mode="w+", shape=(COUNT,))
    item[:] = np.arange(COUNT)
    (value,) = atonce.map(same, [item[10:]], model="processes", parallelism=1)
    np.testing.assert_array_equal(value, np.arange(10, COUNT))


def test_a_partial_with_a_large_array() -> None:
    import functools

    np = pytest.importorskip("numpy")
    fn = functools.partial(same_sum, np.ones(COUNT))
    assert list(atonce.map(fn, range(4), **PROCESSES)) == [COUNT + item for item in range(4)]


def same_sum(array: Any, item: int) -> float:
    return float(array.sum()) + item


@pytest.mark.slow  # to import pandas in the workers takes a second
def test_pandas_frames_come_back() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "a": range(COUNT),
            "b": [float(k) for k in range(COUNT)],
            "c": ["text", "é"] * (COUNT // 2),
            "d": pd.Categorical(["x", "y"] * (COUNT // 2)),
            "e": pd.date_range("2020", periods=COUNT, freq="s"),
        }
    )
    for value in atonce.map(same, [frame, frame[["a", "b"]][::2], frame.head(0)], **PROCESSES):
        pd.testing.assert_frame_equal(value, frame.loc[value.index, list(value.columns)])
    (value,) = atonce.map(frame_plus_one, [frame[["a", "b"]]], model="processes", parallelism=1)
    assert value["a"].iloc[0] == 1


def frame_plus_one(frame: Any) -> Any:
    frame += 1  # in place
    return frame


def test_polars_frames_come_back() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": range(COUNT), "b": ["text", "é"] * (COUNT // 2)})
    assert all(value.equals(frame) for value in atonce.map(same, [frame, frame], **PROCESSES))


def test_torch_tensors_come_back() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(COUNT, dtype=torch.float64).reshape(16, -1).t()
    assert all(torch.equal(value, tensor) for value in atonce.map(same, [tensor, tensor], **PROCESSES))
