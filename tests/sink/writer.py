"""Writes rows until somebody kills it: `python writer.py TARGET TOTAL`. Says each index once its row was written."""

import sys

from atonce.sink import sink_for
from atonce.sink.columns import Kind
from atonce.sink.row import Body, Exchange, Row

EXCHANGE = Exchange("http://x.example/", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", None, 0.0, False)
COLUMNS: dict[str, Kind] = {"n": "int", "body": "bytes"}


def body(index: int) -> bytes:
    return (b"%d," % index) * (20_000 if index % 3 else 10)


def main(target: str, total: int) -> None:
    appended = target.endswith(
        ("/", ".jsonl", ".warc.gz")
    )  # then a row survives as soon as it is written, else with its commit
    with sink_for(target, columns=COLUMNS) as sink:
        waiting: list[int] = []
        for index in range(total):
            if index not in sink.done:
                path = f"{index % 256:02x}/{index:08d}-0.txt"
                sink.write(
                    [Row(index, index + 1, True, {"n": index, "bytes": len(body(index))}, Body(body(index), path), EXCHANGE)]
                )
                waiting.append(index)
                if len(waiting) == 7 and not appended:
                    sink.commit()
                if len(waiting) == 7 or appended:
                    sys.stdout.write("".join(f"{each}\n" for each in waiting))
                    sys.stdout.flush()
                    waiting.clear()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
