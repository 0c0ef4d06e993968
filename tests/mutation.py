"""Is every line of the money core held by a test? `python -m tests.mutation [--sample N] [--seed S] [--only FILE]`.

cosmic-ray makes the mutants; each is put into a copy of the project, where the fast tests of money must fail on SQLite.
Writes docs/mutants.md: how many were killed, and every survivor with its reason (tests/mutation.toml).
"""

import argparse
import difflib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import parso
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code

from app.config import ROOT
from tests.proofs.__main__ import commit

PAGE, REASONS = ROOT / "docs" / "mutants.md", ROOT / "tests" / "mutation.toml"
CORE = ("payments.py", "receipts.py", "refunds.py", "settlement.py", "models.py", "gateways/toss.py")
TESTS = (
    *("tests/test_models.py", "tests/gateways/test_toss.py", "tests/gateways/test_toss_codes.py"),
    *("tests/test_settlement.py", "tests/test_money.py", "tests/test_inbox.py", "tests/test_checkout.py"),
    *("tests/test_sweep.py", "tests/test_api.py", "tests/proofs/test_model.py"),
)
PYTEST = ("-m", "pytest", "-x", "-q", "-k", "not postgresql", "-p", "no:cacheprovider", "-p", "no:randomly")
PATIENCE = 240.0  # seconds: a mutant that never ends is dead, too
# One of each kind: `+` may become `-`, it need not become twelve things. Annotations are no behaviour.
ONE_OF_EACH = ("ReplaceBinaryOperator_", "ReplaceComparisonOperator_", "ReplaceUnaryOperator_")
LEFT_OUT = ("ReplaceBinaryOperator_BitOr", "core/RemoveDecorator", "ExceptionReplacer")


@dataclass(frozen=True)
class Mutant:
    file: str
    source: str
    """Of the whole file, changed."""
    line: int
    change: str

    def __str__(self) -> str:
        return f"{self.file} {self.change}"


def mutants(file: str) -> Iterator[Mutant]:
    source = (ROOT / "app" / file).read_text()
    if file == "models.py":
        yield from moves(file, source)
        return
    seen = set[str]()
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if kind.arguments() or any(word in name for word in LEFT_OUT):
            continue
        operator = kind()
        nodes = ast_nodes(parso.parse(source))
        for number in range(sum(len(list(operator.mutation_positions(node))) for node in nodes)):
            changed = mutate_code(source, operator, number)
            if changed is None or changed == source:
                continue
            mutant = Mutant(file, changed, *difference(source, changed))
            sort = next((word for word in ONE_OF_EACH if word in name), f"{name} {number}")
            if (place := f"{mutant.line} {sort}") not in seen:
                seen.add(place)
                yield mutant


def moves(file: str, source: str) -> Iterator[Mutant]:
    """Every state in the table of moves, taken for another. The rest of the models is held by the migrations."""
    start, end = (source.index(mark) for mark in ("MOVES: dict", "# Seconds between"))
    for found in re.finditer(r"Status\.[A-Z_]+", source[start:end]):
        other = "Status.REFUNDED" if found[0] != "Status.REFUNDED" else "Status.PENDING"
        changed = source[: start + found.start()] + other + source[start + found.end() :]
        yield Mutant(file, changed, *difference(source, changed))


def difference(before: str, after: str) -> tuple[int, str]:
    """The line, and what became of it."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    number = int(lines[0].split()[1].lstrip("-").split(",")[0])
    return number, " → ".join(" ".join(line[1:].split()) for line in lines[1:])


def survives(mutant: Mutant, place: Path) -> bool:
    victim = place / "app" / mutant.file
    healthy = victim.read_text()
    victim.write_text(mutant.source)
    try:
        quiet = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, *PYTEST, *TESTS]
        done = subprocess.run(command, cwd=place, env=quiet, capture_output=True, timeout=PATIENCE, check=False)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        victim.write_text(healthy)


def copies(many: int, into: str) -> SimpleQueue[Path]:
    free: SimpleQueue[Path] = SimpleQueue()
    leave_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", "data", "test-output", "*.db")
    for number in range(many):
        place = Path(into) / str(number)
        shutil.copytree(ROOT, place, ignore=leave_out)
        free.put(place)
    return free


def page(tried: int, of: int, survivors: Sequence[Mutant], seed: int, seconds: float) -> str:
    reasons = tomllib.loads(REASONS.read_text("utf-8")) if REASONS.exists() else {}
    killed = tried - len(survivors)
    lines = [
        "# 돌연변이",
        "",
        "돈을 다루는 코드의 한 곳을 바꾸면 테스트가 알아채는가. `python3 run.py mutants`가 직접 쓴 것이다.",
        "",
        f"- 커밋 `{commit()}`, 씨앗 `{seed}`: {of:,}개 가운데 {tried:,}개를 시험, {seconds:,.0f}초",
        f"- 잡은 것 {killed:,}개 ({killed / tried:.1%}), 살아남은 것 {len(survivors):,}개",
        f"- 파일: {', '.join(f'`{file}`' for file in CORE)} (`models.py`는 `MOVES`만)",
        "",
        "| 살아남은 것 | 까닭 |",
        "|---|---|",
    ]
    for mutant in sorted(survivors, key=str):
        told = str(mutant).replace("|", "\\|")
        lines.append(f"| `{told}` | {reasons.get(str(mutant), '아직 없음')} |")
    return "\n".join([*lines, ""])


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.mutation")
    words.add_argument("--sample", type=int, default=0, help="so many, drawn by the seed; all when it is 0")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", choices=CORE, default=None)
    words.add_argument("--at-once", type=int, default=2)
    given = words.parse_args()
    everything = [mutant for file in CORE if given.only in (None, file) for mutant in mutants(file)]
    chosen = random.Random(given.seed).sample(everything, min(given.sample, len(everything)) or len(everything))
    began, survivors = time.monotonic(), list[Mutant]()
    with tempfile.TemporaryDirectory() as into, ThreadPoolExecutor(given.at_once) as pool:
        free = copies(given.at_once, into)

        def attempt(mutant: Mutant) -> None:
            place = free.get()
            lives = survives(mutant, place)
            free.put(place)
            print("survives" if lives else "killed  ", mutant, flush=True)
            if lives:
                survivors.append(mutant)

        list(pool.map(attempt, chosen))
    PAGE.write_text(page(len(chosen), len(everything), survivors, given.seed, time.monotonic() - began), "utf-8")
    print(PAGE)
    return len(survivors) * 10 > len(chosen)


if __name__ == "__main__":
    sys.exit(main())
