"""`python -m bench.page result.json…`: the results as a page of the docs, a table and a plot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .cases import find
from .runner import Result
from .table import cells

__all__ = ["main"]

DOCS = Path(__file__).resolve().parent.parent / "docs"

HEAD = """\
# Side by side

What atonce costs beside other tools, measured by `make bench BENCH="--json result.json"` and written here by
`python -m bench.page result.json`. How it is measured, and why so: `bench/README.md`. A row that loses is
reported as losing.

{machine}. {versions}. Runs: {runs}.

![How long ours takes beside each peer, on a logarithmic scale](bench.svg)

| what | peer | ours | ratio | target | verdict |
|---|---|---|---|---|---|
"""

TAIL = """
Figures are medians over the rounds; a ratio is the median of the rounds' own ratios, with the least and the greatest. It is
ours ÷ peer where the target is an upper limit, peer ÷ ours (speed) where it is a lower one, ours − peer where the target has a
plus. The first peer of a row decides, the others are for information.

| row | what is measured |
|---|---|
"""


def main(argv: list[str]) -> int:
    """Writes `docs/bench.md` and `docs/bench.svg`."""
    if not argv:
        print("usage: python -m bench.page result.json…", file=sys.stderr)
        return 2
    runs = [json.loads(Path(path).read_text(encoding="utf-8")) for path in argv]
    results = [_result(record) for run in runs for record in run["results"]]
    (DOCS / "bench.md").write_text(_page(runs, results), encoding="utf-8")
    _plot(results, DOCS / "bench.svg")
    return 0


def _result(record: dict[str, Any]) -> Result:
    case = find(record["name"])
    return Result(case, record["n"], record["rounds"], record["failed"], record["skipped"])


def _page(runs: list[dict[str, Any]], results: list[Result]) -> str:
    facts = runs[0]["machine"]
    lines = [
        HEAD.format(
            machine=f"{facts['python']}, {facts['cpus']} × {facts['cpu']}, {facts['memory_gb']} GB, {facts['system']}",
            versions=", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
            runs="; then ".join(
                f"started {run['started']}, {run['rounds']} rounds after a warm-up, seed {run['seed']}; "
                f"load {run['machine']['load']} at the start, {run['load_at_end']} at the end"
                for run in runs
            ),
        )
    ]
    lines += [f"| {' | '.join(row)} |\n" for result in results for row in cells(result)]
    lines.append(TAIL)
    for result in results:
        items = f"{result.n:,} items: ".replace(",", " ") if result.n > 1 else ""
        lines.append(f"| `{result.case.name}` | {items}{result.case.what} |\n")
    return "".join(lines)


def _plot(results: list[Result], path: Path) -> None:
    """A point for each peer: how many times as long as the peer ours takes; left of the line ours is faster."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "atonce"  # the same figures give the same file
    import matplotlib.pyplot as plt

    shown = [result for result in results if result.case.peers and result.case.target.kind in ("cost", "speed", "most")]
    labels, points = [], []
    for result in shown:
        ours = result.median("ours")
        for number, peer in enumerate(result.case.peers):
            theirs = result.median(peer)
            if ours and theirs:
                labels.append(f"{result.case.name}: {peer}")
                points.append((ours / theirs, number == 0))
    figure, axes = plt.subplots(figsize=(9, 0.6 + 0.22 * len(points)), layout="constrained")
    axes.axvline(1.0, color="0.6", linewidth=1)
    for height, (ratio, decides) in enumerate(points):
        axes.plot([1.0, ratio], [height, height], color="tab:green" if ratio <= 1 else "tab:red", linewidth=1)
        axes.plot(ratio, height, "o" if decides else ".", color="tab:green" if ratio <= 1 else "tab:red")
    axes.set(xscale="log", xlabel="time of ours ÷ time of the peer (left of the line ours is faster)", ylim=(len(points), -1))
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.grid(axis="x", which="both", color="0.92")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
