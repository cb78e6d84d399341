"""Writes rows until somebody kills it: `python writer.py TARGET TOTAL`. Says each index once its row was written."""

import sys

from atonce.sink import sink_for
from atonce.sink.row import Body, Row


def body(index: int) -> bytes:
    return (b"%d," % index) * (20_000 if index % 3 else 10)


def main(target: str, total: int) -> None:
    with sink_for(target) as sink:
        for index in range(total):
            if index not in sink.done:
                path = f"{index % 256:02x}/{index:08d}-0.txt"
                sink.write([Row(index, index + 1, True, {"n": index}, Body(body(index), path))])
                sys.stdout.write(f"{index}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
