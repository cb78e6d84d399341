"""Indices stay those of the whole input, whatever was done before and in which order outcomes come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atonce.cli.remaining import Remaining
from atonce.sink.stdout import Stdout
from atonce.source.inputs import Input, fingerprint


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.randoms())
def test_outcomes_find_their_entries(done: list[bool], chance: object) -> None:
    texts = [f"item {index}" for index in range(len(done))]
    sink = Stdout()
    for index, is_done in enumerate(done):
        if is_done:
            sink.done.add(index, fingerprint(texts[index].encode()))
    remaining = Remaining(Input(None, first=texts), sink, "out")
    assert remaining.check() == done.count(False)

    given_out = list(enumerate(remaining))
    assert [item for _, item in given_out] == [text for text, is_done in zip(texts, done, strict=True) if not is_done]
    chance.shuffle(given_out)  # type: ignore[attr-defined]
    for number, item in given_out:
        entry = remaining.entry(number)
        assert (entry.item, texts[entry.index]) == (item, item)
    assert remaining.read == done.count(False)
    assert not remaining._in_flight
