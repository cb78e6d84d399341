"""`Done` is a dict from index to fingerprint that is small."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atonce.sink.done import Done

indices = st.integers(0, 20_000) | st.sampled_from([4095, 4096, 10**15])
kinds = st.sampled_from([None, "dns", "tls"])
held = st.lists(st.tuples(indices, st.integers(1, 2**32 - 1), st.booleans(), kinds), max_size=50)


@given(held, st.lists(indices))
def test_it_is_a_dict(rows: list[tuple[int, int, bool, str | None]], asked: list[int]) -> None:
    done = Done()
    model: dict[int, tuple[int, bool, str]] = {}
    for index, fingerprint, ok, kind in rows:
        done.add(index, fingerprint, ok=ok, kind=kind)
        model.setdefault(index, (fingerprint, ok, "" if ok else kind or ""))
    assert len(done) == len(model)
    assert done.failed == sum(not ok for _, ok, _ in model.values())
    assert done.last == max(model, default=-1)
    for index in [*asked, *model]:
        assert (index in done) == (index in model)
        fingerprint, ok, kind = model.get(index, (0, False, ""))
        assert (done.get(index), done.is_ok(index), done.kind(index)) == (fingerprint, ok, kind)


def test_an_empty_one_is_false() -> None:
    assert not Done()
