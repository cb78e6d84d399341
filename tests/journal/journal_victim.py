"""A run that somebody kills: `python journal_victim.py MODEL ORDER TOTAL JOURNAL STARTS`. Says each index it was given.

STARTS gets a line for each start of an item, in one write to the end of the file, whichever process it is in.
"""

import asyncio
import functools
import os
import sys

import atonce

MODELS = {
    "sync": {"model": "sync"},
    "coroutines": {"model": "coroutines", "concurrency": 8},
    "threads": {"model": "threads", "concurrency": 4},
    "processes": {"model": "processes", "parallelism": 2},
    "hybrid": {"model": "hybrid", "parallelism": 2, "concurrency": 2},
    "auto": {"model": "auto"},
}


class Starts:
    def __init__(self, path):
        self.path = path

    def note(self, item):
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, b"%d\n" % item)
        os.close(fd)


def work(starts, item):
    starts.note(item)
    if item % 10 == 3:
        raise ValueError(item)
    return {"item": item, "text": "x" * (item % 50)}


async def awork(starts, item):
    await asyncio.sleep(0)
    return work(starts, item)


def main(model, ordered, total, journal, starts):
    fn = functools.partial(awork if model == "coroutines" else work, Starts(starts))
    for outcome in atonce.stream(fn, iter(range(total)), journal=journal, ordered=ordered == "ordered", **MODELS[model]):
        item = outcome.item
        assert outcome.index == item
        if item % 10 == 3:
            assert repr(outcome.error) == f"ValueError({item})", outcome
        else:
            assert outcome.value == {"item": item, "text": "x" * (item % 50)}, outcome
        os.write(1, b"%d\n" % item)
    os.write(1, b"all\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
