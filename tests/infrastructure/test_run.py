import ast
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).parents[2]
TOGETHER = """
import os, signal, sys, run
from pathlib import Path
run.PYTHON = Path(sys.executable)
signal.signal(signal.SIGTERM, run.leave)
port, *others = sys.argv[1:]
programs = [run.Program("web", int(port), "/", ("http.server", "--bind", "127.0.0.1", port))]
programs += [run.Program(other, int(port), "/", (other,)) for other in others]
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests may be deaf to it
sys.exit(run.run_together(programs, dict(os.environ), "OPEN"))
"""


def command(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in {"PORT", "SANDBOX_PORT", *run.KEYS}}
    program = [sys.executable, "run.py", *words]
    return subprocess.run(program, cwd=ROOT, env=env | settings, capture_output=True, text=True, check=False)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def is_free(port: str) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", int(port))) != 0


def test_run_py_needs_nothing_but_the_standard_library() -> None:
    imported = set()
    for node in ast.walk(ast.parse((ROOT / "run.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported
    assert imported <= sys.stdlib_module_names


def test_a_taken_port_is_a_sentence_that_says_what_to_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = command(PORT=port)
    assert answer.returncode == 1
    assert f"Port {port} cannot be used: set PORT to another." in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_port_that_is_no_number_is_a_sentence_too() -> None:
    answer = command(PORT="팔천")
    assert answer.returncode == 1
    assert "Port 팔천 cannot be used" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unknown_word_is_answered_with_the_words_there_are() -> None:
    answer = command("tset")
    assert answer.returncode == 2
    assert "python3 run.py test" in answer.stdout


def test_env_is_read_as_the_app_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("# 설정\nTOSS_SECRET_KEY = 'live_sk_x=='\nBASE_URL=https://from.file\n")
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.delenv("TOSS_SECRET_KEY", raising=False)
    monkeypatch.setenv("BASE_URL", "https://from.environment")
    given = run.settings()
    assert given["TOSS_SECRET_KEY"] == "live_sk_x=="
    assert given["BASE_URL"] == "https://from.environment"


def test_the_secret_key_is_kept_and_read_by_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "HERE", tmp_path)
    key = run.secret_key()
    assert len(key) >= 32
    assert run.secret_key() == key
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_ending_it_leaves_nothing_behind(ending: signal.Signals) -> None:
    port = free_port()
    program = [sys.executable, "-c", TOGETHER, port]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        while "OPEN" not in running.stdout.readline():
            assert running.poll() is None
        assert not is_free(port)
        running.send_signal(ending)
        _, errors = running.communicate(timeout=20)
    assert running.returncode == 0
    assert "Traceback" not in errors
    assert is_free(port)


def test_when_one_program_stops_the_other_is_ended_and_that_is_said() -> None:
    port = free_port()
    program = [sys.executable, "-c", TOGETHER, port, "this"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert "this" in done.stdout.splitlines()[-1]
    assert is_free(port)


def test_what_every_push_runs_is_the_command_in_the_readme() -> None:
    last = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert shlex.split(last)[:4] == ["exec", "python3", "run.py", "test"]
    assert "python3 run.py test" in (ROOT / "README.md").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
