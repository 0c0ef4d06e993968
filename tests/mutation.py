"""Is every line of the money core held by a test? `python -m tests.mutation [--sample N] [--seed S] [--only FILE…]`.

One process imports everything and collects the tests, on SQLite. A first fork of it runs them all, to tell which
execute which lines. Then each mutant (tests/mutants.py) has a fork of its own, where one of the tests of its line must
fail, the quickest first; to survive, all of them have to pass. What runs at import is changed in a copy of the project.
Writes docs/mutants.md: how many were killed, and every survivor with its reason (tests/mutation.toml).
`--go-on` takes up an interrupted run of the same code. After a new test, delete test-output/mutants-watched.json first.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from coverage import Coverage

from app.config import ROOT
from tests.mutants import CORE, Mutant, mutants
from tests.proofs.__main__ import commit

PAGE, REASONS = ROOT / "docs" / "mutants.md", ROOT / "tests" / "mutation.toml"
KILLED, WATCHED = (ROOT / "test-output" / f"mutants-{name}.json" for name in ("killed", "watched"))
TESTS = (
    *(
        "tests/test_models.py",
        "tests/test_folder.py",
        "tests/gateways/test_toss.py",
        "tests/gateways/test_toss_codes.py",
    ),
    *("tests/gateways/test_virtual_accounts.py", "tests/gateways/test_portone_house.py"),
    *("tests/gateways/test_kakaopay.py", "tests/test_settlement.py", "tests/test_locks.py", "tests/test_money.py"),
    *("tests/test_deposits.py", "tests/test_kakaopay.py", "tests/test_inbox.py", "tests/test_checkout.py"),
    *("tests/test_sweep.py", "tests/test_api.py", "tests/test_bulk.py", "tests/test_record.py"),
    *("tests/test_methods.py", "tests/test_guard.py", "tests/proofs/test_model.py"),
)
WHY: dict[str, str] = tomllib.loads(REASONS.read_text("utf-8"))
PYTEST = (
    *("-x", "-q", "-s", "--tb=no", "-k", "not postgresql", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-o", "timeout=90", "-o", "timeout_method=thread"),  # a mutant that never ends is dead, too
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # we have imported some of them already
    *("-W", "ignore::pytest.PytestUnhandledThreadExceptionWarning"),  # of a busy machine, not of the mutant
)


class Watch:
    """Of the healthy code: how long each test takes, and which lines it executes."""

    def __init__(self) -> None:
        files = [str(ROOT / "app" / file) for file in CORE]
        self.coverage = Coverage(data_file=None, include=files, concurrency=["thread", "greenlet"])
        self.coverage.start()
        self.seconds = dict[str, float]()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        lines = {file: data.contexts_by_lineno(str(ROOT / "app" / file)) for file in CORE}
        if exitstatus == 0:
            WATCHED.write_text(json.dumps({"seconds": self.seconds, "lines": lines}))


class Forks:
    """Takes the place of pytest's loop over the tests. In each fork that loop runs, over the tests of one mutant."""

    def __init__(self, chosen: Sequence[Mutant], killed: dict[str, str], at_once: int) -> None:
        self.chosen, self.killed, self.at_once = chosen, killed, at_once
        self.survivors = list[Mutant]()
        self.running = dict[int, tuple[Mutant | None, Path]]()
        self.home, self.room = Path(tempfile.mkdtemp()), Path()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if not WATCHED.exists() and self.fork(None):
            session.config.pluginmanager.register(Watch())
            return None
        self.wait(0)
        if not WATCHED.exists():
            pytest.exit("the tests must pass before anything is changed")
        watched, items = json.loads(WATCHED.read_text()), {item.nodeid: item for item in session.items}
        for mutant in self.chosen:
            tests = tests_of(mutant, watched["seconds"], watched["lines"][mutant.file])
            self.wait(self.at_once - 1)
            if not tests or str(mutant) in WHY:  # who has a reason to survive need not prove it again
                self.tell(mutant, None)
            elif mutant.key not in self.killed and self.fork(mutant):
                if not mutant.function:
                    self.run_in_a_copy(mutant, tests)
                mutant.put_in()
                session.items = [items[name] for name in tests]
                return None
        self.wait(0)
        shutil.rmtree(self.home)
        return True

    def fork(self, mutant: Mutant | None) -> bool:
        """True in the fork."""
        room = Path(tempfile.mkdtemp(dir=self.home))
        if child := os.fork():
            self.running[child] = mutant, room
            return False
        self.room = room
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(room)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        return True

    def wait(self, few: int) -> None:
        """Until no more than so few forks are running."""
        while len(self.running) > few:
            child, status = os.wait()
            mutant, room = self.running.pop(child)
            told = room / "failed"
            if mutant:
                by = told.read_text() if told.exists() else f"exit {os.waitstatus_to_exitcode(status)}"
                self.tell(mutant, by if status else None)
            shutil.rmtree(room)

    def tell(self, mutant: Mutant, by: str | None) -> None:
        print(mutant, f"killed by {by}" if by else "SURVIVES", sep="\n    ", flush=True)
        if by:
            self.killed[mutant.key] = by
            KILLED.write_text(json.dumps(self.killed))
        else:
            self.survivors.append(mutant)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            (self.room / "failed").write_text(report.nodeid)

    def run_in_a_copy(self, mutant: Mutant, tests: Sequence[str]) -> NoReturn:
        leave_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", "data", "test-output", "*.db")
        copy = shutil.copytree(ROOT, self.room / "copy", ignore=leave_out)
        (copy / "app" / mutant.file).write_text(mutant.source, "utf-8")
        os.chdir(copy)
        os.execv(sys.executable, [sys.executable, "-m", "pytest", *PYTEST, *tests])  # noqa: S606


def tests_of(mutant: Mutant, seconds: Mapping[str, float], lines: Mapping[str, Sequence[str]]) -> list[str]:
    """Those that execute its lines, the quickest first. Lines run at import belong to the test ""."""
    ran = {test for line in mutant.lines for test in lines.get(str(line), ())} & set(seconds)
    return sorted(ran, key=lambda test: seconds[test])


def page(tried: Sequence[Mutant], of: int, survivors: Sequence[Mutant], seed: int) -> str:
    killed = len(tried) - len(survivors)
    files, alive = Counter(mutant.file for mutant in tried), Counter(mutant.file for mutant in survivors)
    lines = [
        "# 돌연변이",
        "",
        "돈을 다루는 코드의 한 곳을 바꾸면 테스트가 알아채는가. `python3 run.py mutants`가 직접 쓴 것이다.",
        "",
        f"- 커밋 `{commit()}`, 씨앗 `{seed}`: {of:,}개 가운데 {len(tried):,}개를 시험",
        f"- 잡은 것 {killed:,}개 ({killed / len(tried):.1%}), 살아남은 것 {len(survivors):,}개",
        "",
        "| 파일 | 시험 | 잡음 |",
        "|---|---:|---:|",
        *(f"| `{file}` | {many:,} | {many - alive[file]:,} |" for file, many in files.items()),
        "",
        "`models.py`는 `MOVES`만 본다.",
        "",
        "| 살아남은 것 | 까닭 |",
        "|---|---|",
    ]
    for mutant in sorted(survivors, key=str):
        told = str(mutant).replace("|", "\\|")
        lines.append(f"| `{told}` | {WHY.get(str(mutant), '아직 없음')} |")
    return "\n".join([*lines, ""])


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.mutation")
    words.add_argument("--sample", type=int, default=0, help="so many, drawn by the seed; all when it is 0")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", choices=CORE, nargs="+", default=CORE)
    words.add_argument("--at-once", type=int, default=2)
    words.add_argument("--go-on", action="store_true", help="with an interrupted run, of the same code")
    given = words.parse_args()
    KILLED.parent.mkdir(exist_ok=True)
    if not given.go_on:
        KILLED.unlink(missing_ok=True)
        WATCHED.unlink(missing_ok=True)
    everything = [mutant for file in CORE if file in given.only for mutant in mutants(file)]
    chosen = random.Random(given.seed).sample(everything, given.sample) if given.sample else everything
    killed = json.loads(KILLED.read_text()) if KILLED.exists() else {}
    mother = os.getpid()
    forks = Forks(chosen, killed, given.at_once)
    status = pytest.main([*PYTEST, *TESTS], plugins=[forks])
    if os.getpid() != mother:
        os._exit(status)
    PAGE.write_text(page(chosen, len(everything), forks.survivors, given.seed), "utf-8")
    print(PAGE)
    return status or len(forks.survivors) * 10 > len(chosen)


if __name__ == "__main__":
    sys.exit(main())
