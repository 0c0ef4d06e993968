"""F11: a full disk and a read-only database: no money moves without a committed intent, and everything heals alone."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.config import ROOT
from tests.proofs.crash_ground import database, sandbox
from tests.proofs.disk_room import namespace
from tests.proofs.report import Report

NAME = "disk"
Say = Callable[[str], None]


def run(*, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Say = print) -> Report:
    """Nothing here is random: the seed is only told. The short run visits two points of each verb, the long one all."""
    began = time.monotonic()
    report = Report(NAME, seed)
    with ThreadPoolExecutor(len(engines)) as together:
        found = list(together.map(lambda engine: on(engine, long), engines))
    for engine, answer in zip(engines, found, strict=True):
        say(f"{engine}: {answer}")
        report.counts |= {f"{engine} {name}": number for name, number in answer["counts"].items()}
        report.wrong |= {f"{engine}, {what}": rows for what, rows in answer["wrong"].items()}
        report.notes.append(f"{engine}: {answer['room']}")
    report.seconds = time.monotonic() - began
    return report


def on(engine: str, long: bool) -> dict[str, Any]:
    with sandbox() as pg:
        if engine == "postgresql":
            with database(engine) as url:
                return child([], engine, url, pg.url, long)
        place = tempfile.mkdtemp(prefix="jjinbubu-disk-")
        try:
            return child(namespace() or [], engine, place, pg.url, long)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def child(prefix: list[str], engine: str, place: str, pg_url: str, long: bool) -> dict[str, Any]:
    command = [
        *prefix,
        sys.executable,
        "-m",
        "tests.proofs.disk_child",
        engine,
        place,
        pg_url,
        "long" if long else "short",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
