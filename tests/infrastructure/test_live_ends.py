"""A server that is told to stop ends its live streams as they should end, and does not wait for their viewers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from app.config import ROOT
from tests import story


def test_a_stopped_server_ends_its_streams_at_once(sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "app.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}", "SECRET_KEY": "only for tests", "RECONCILE_EVERY": "0"}
    server = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", str(port)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | given,
        stderr=subprocess.PIPE,
        text=True,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=20)) as admin:
        answer = admin.post("/login", data={"email": story.ADMIN, "password": story.PASSWORD})
        assert answer.status_code == 303, answer.text
        with admin.stream("GET", "/admin/payments/live?after=0") as stream:
            heard = stream.iter_raw()
            assert next(heard).startswith(b"retry:")
            server.send_signal(signal.SIGTERM)
            began = time.monotonic()
            list(heard)  # raises when it is cut in the middle
    _, complained = server.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert "ERROR" not in complained
