"""An nginx of our own: one worker, keep-alive, a static 16 KB file on tmpfs, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .case import Skip

__all__ = ["SIZE", "serving"]

SIZE = 16 * 1024

# what nginx would otherwise keep under /var
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIG = """\
daemon off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log";
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 120s;
    keepalive_requests 10000000;
    open_file_cache max=100;
    {temporary}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root "{folder}/html";
    }}
}}
"""


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serves while the block runs; `BENCH_URL` is the file's address. Raises Skip when there is no nginx."""
    program = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Skip("nginx is not installed (Debian, Ubuntu: apt install nginx-light)")
    memory = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="atonce-bench-", dir=memory) as folder:
        os.chmod(folder, 0o755)  # nginx's worker may be another user
        port = _free_port()
        config = _prepare(Path(folder), port)
        process = subprocess.Popen(
            [program, "-c", str(config), "-p", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait(process, port, Path(folder))
            yield {"BENCH_URL": f"http://127.0.0.1:{port}/16k.bin"}
        finally:
            process.terminate()  # the master ends its worker
            process.wait()


def _prepare(folder: Path, port: int) -> Path:
    html = folder / "html"
    html.mkdir()
    (html / "16k.bin").write_bytes(bytes(range(256)) * (SIZE // 256))
    temporary = "\n    ".join(f'{name}_temp_path "{folder}/{name}";' for name in _TEMPORARY)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, temporary=temporary), encoding="utf-8")
    return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    log = folder / "error.log"
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    raise Skip("nginx does not start" + (f": {said.splitlines()[-1]}" if said else ""))
