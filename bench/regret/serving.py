"""A server that answers 16 at a time, each after 20 ms: what fetching is measured with where more in flight would not help."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["server"]


class _Handler(http.server.BaseHTTPRequestHandler):
    room = threading.Semaphore(16)

    def do_GET(self) -> None:
        with self.room:
            time.sleep(0.02)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, *_: Any) -> None:
        """A client that was too slow has been ended."""


@contextlib.contextmanager
def server(n: int) -> Iterator[list[Any]]:
    """Its port, n times. In a process of its own, so that its threads do not share the GIL of what is measured."""
    code = "from bench.regret.serving import _serve; _serve()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield [port] * n
        finally:
            process.stdin.close()


def _serve() -> None:
    with _Server(("127.0.0.1", 0), _Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        print(serving.server_address[1], flush=True)
        sys.stdin.read()
        os._exit(0)
