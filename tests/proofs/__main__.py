"""The long run of proofs, of all or of those named: `python -m tests.proofs [--seed N] [names…]`.

Each writes its own line into docs/proofs.md, and the facts behind it into docs/proofs.json, as soon as it is done.
Anything wrong is printed with what plays it again, and the exit status is 1.
"""

import argparse
import importlib
import json
import logging
import os
import platform
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, Protocol, cast

from app.clock import KST, now
from app.config import ROOT
from tests.proofs.report import Report

NAMES = ("crash", "kill", "clock", "disk", "faults", "concurrency", "webhooks", "world", "model")
PAGE = ROOT / "docs" / "proofs.md"
FACTS = PAGE.with_suffix(".json")
WHAT = {
    "crash": "모든 커밋과 PG 바이트의 앞뒤에서 죽었다가 다시 일어나기",
    "kill": "모든 PG와 가상계좌가 섞인 부하 속에서 kill -9",
    "clock": "시계가 앞뒤로 뛰고 자정이 지난다: 모든 PG",
    "disk": "디스크가 가득 차거나 읽기 전용이 된다: 모든 PG × 승인·환불의 모든 점",
    "faults": "PG가 돈을 받고 침묵한다: 모든 PG × 모든 사고 × 승인·조회·취소",
    "concurrency": "모든 PG에서 동시에 여럿이: 승인, 환불, 두 동사의 모든 순서",
    "webhooks": "웹훅이 반복되고 뒤섞이고 사라지고 늦고 위조된다",
    "world": "하나의 씨앗으로 움직이는 모의 세계",
    "model": "모든 (상태 × 동사 × PG의 말)",
}
INTRO = """# 증명

돈은 사라지지 않고 두 번 나가지 않는다. 이 표는 `python3 run.py proofs [이름…] --seed N`이 한 줄씩 직접 쓴 것이다:
씨앗과 커밋이 같으면 같은 길을 다시 걷는다. 엔진은 SQLite와 PostgreSQL이고, `world`는 열에 아홉을 SQLite에서 산다.
"""


class Proof(Protocol):
    NAME: str

    @staticmethod
    def run(*, seed: int, long: bool, engines: Sequence[str] = ..., say: Callable[[str], None] = ...) -> Report: ...


def load(names: Sequence[str]) -> list[Proof]:
    """Those of these that exist."""
    found = [f"tests.proofs.{name}" for name in names if find_spec(f"tests.proofs.{name}")]
    return [cast(Proof, importlib.import_module(name)) for name in found]


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "?") + ("+" if git("status", "--porcelain", "--", "app") else "")


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def said(number: int) -> str:
    return f"{number:,}"


def write_down(report: Report) -> None:
    """This proof's line, beside those of the others."""
    known: dict[str, Any] = json.loads(FACTS.read_text("utf-8")) if FACTS.exists() else {}
    facts = {"commit": commit(), "at": f"{now().astimezone(KST):%Y-%m-%d %H:%M} KST", "machine": machine()}
    known[report.name] = asdict(report) | facts
    FACTS.parent.mkdir(exist_ok=True)
    FACTS.write_text(json.dumps(known, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page([known[name] for name in NAMES if name in known]), encoding="utf-8")


def page(proofs: Sequence[dict[str, Any]]) -> str:
    rows = ["| 증명 | 무엇을 | 얼마나 | 틀림 | 초 | 씨앗 | 커밋 | 언제 |", "|---|---|---|--:|--:|--:|---|---|"]
    for its in proofs:
        counts = ", ".join(f"{name} {said(number)}" for name, number in its["counts"].items())
        wrong = sum(map(len, its["wrong"].values()))
        where = f"{its['seed']} | `{its['commit']}` | {its['at']}"
        rows.append(f"| `{its['name']}` | {WHAT[its['name']]} | {counts} | {wrong} | {its['seconds']:,.0f} | {where} |")
    notes = [f"- `{its['name']}`: {note}" for its in proofs for note in its["notes"]]
    broken = [f"- `{its['name']}` {kind}: {wrong}" for its in proofs for kind, wrong in its["wrong"].items()]
    machines = sorted({its["machine"] for its in proofs})
    parts = [INTRO, *rows, "", f"기계: {'; '.join(machines)}", ""]
    parts += ["## 잰 것", "", *notes, ""] if notes else []
    parts += ["## 틀린 것", "", *broken, ""] if broken else []
    return "\n".join(parts)


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.proofs")
    words.add_argument("--seed", type=int, default=None)
    words.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all when none is named")
    given = words.parse_args()
    if strange := set(given.names) - set(NAMES):
        words.error(f"no such proof: {', '.join(sorted(strange))}")
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    logging.getLogger("app").setLevel(logging.CRITICAL)  # the app complains about every accident, rightly
    print(f"seed {seed}, commit {commit()}, {machine()}", flush=True)
    wrong = False
    for proof in load(given.names or NAMES):
        began = time.monotonic()
        report = proof.run(seed=seed, long=True, say=lambda line: print(f"  {line}", flush=True))
        report.seconds = report.seconds or time.monotonic() - began
        wrong = wrong or bool(report.wrong)
        write_down(report)
        print(f"{report.name}: {report.counts}, wrong: {report.wrong or 0}, {report.seconds:.0f} s", flush=True)
    print(PAGE)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
