"""The programs that are measured, each in processes of its own on 127.0.0.1."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
TICK = os.sysconf("SC_CLK_TCK")
SECRET = "only for benchmarks, on this machine 0123456789"


@dataclass
class Server:
    name: str
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pids(self) -> list[int]:
        """Its own, and its workers'."""
        return _family(self.process.pid)

    def cpu(self) -> float:
        """Seconds of CPU that it and its workers have used."""
        return sum(_cpu(pid) for pid in self.pids)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(name: str, words: tuple[str, ...], env: Mapping[str, str], ready: str) -> Iterator[Server]:
    """`{port}` in the words is where it listens."""
    port = free_port()
    command = [sys.executable, "-m", *(word.format(port=port) for word in words)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
    server = Server(name, port, process)
    try:
        _wait(server, ready)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # it must not outlive us
            process.kill()
            process.wait()


def _wait(server: Server, path: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}{path}", timeout=5).status_code < 500:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"{server.name} does not start")


def stub() -> AbstractContextManager[Server]:
    words = ("uvicorn", "benchmarks.stub:app", "--log-level", "error", "--port", "{port}")
    return serve("PG", words, {}, "/")


def ours(database: str, pg: str = "http://127.0.0.1:9", workers: int = 1) -> AbstractContextManager[Server]:
    env = {
        "DATABASE_URL": database,
        "SECRET_KEY": SECRET,
        "TOSS_CLIENT_KEY": "test_ck_bench",
        "TOSS_SECRET_KEY": "test_sk_bench",
        "TOSS_API_URL": pg,
        "RECONCILE_EVERY": "0",
    }
    return serve("ours", ("app", "serve", "--port", "{port}", "--workers", str(workers)), env, "/healthz")


def django(database: str) -> AbstractContextManager[Server]:
    words = ("gunicorn", "benchmarks.peers.django_admin:app", "--bind", "127.0.0.1:{port}", "--log-level", "error")
    return serve("Django", words, {"BENCH_DATABASE": database}, "/shipped/login/")


def flask(database: str, pg: str, *options: str) -> AbstractContextManager[Server]:
    words = ("gunicorn", "benchmarks.peers.flask_json:app", "--bind", "127.0.0.1:{port}", "--log-level", "error")
    env = {"BENCH_DATABASE": database, "BENCH_PG": pg}
    return serve("Flask", (*words, *options), env, "/health")


def fastapi(database: str, pg: str) -> AbstractContextManager[Server]:
    words = ("uvicorn", "benchmarks.peers.fastapi_sqlmodel:app", "--port", "{port}", "--log-level", "error")
    env = {"BENCH_DATABASE": database, "BENCH_PG": pg}
    return serve("FastAPI", (*words, "--no-access-log"), env, "/health")
