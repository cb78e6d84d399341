"""How much slower `auto` is than the best hand-set choice: `python -m bench.regret [WORKLOAD …]`, or `make regret`.

workloads.py  what is run          grid.py     which points are tried, and what the times amount to (pure)
turn.py       one timed run        page.py     docs/regret.md
"""
