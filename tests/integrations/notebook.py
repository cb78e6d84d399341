"""Runs a notebook in a kernel: `python notebook.py IN OUT`. A program of its own, since nbclient leaves threads behind."""

from __future__ import annotations

import sys

import nbclient
import nbformat


def main(given: str, filled: str) -> None:
    notebook = nbformat.read(given, as_version=4)
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    nbformat.write(notebook, filled)


if __name__ == "__main__":
    main(*sys.argv[1:])
