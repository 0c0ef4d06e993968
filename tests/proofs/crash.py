"""F1, F2: a process dies anywhere in a verb that moves money, and what is left comes to rest without loss.

Every numbered point of every scene (in the short run some, of Toss, and of a refund by each other way to pay), on both
databases; then random schedules that die again and again while they recover. `python -m tests.proofs.crash_child` does
the dying, this plans and counts.
"""

import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from app.config import ROOT
from tests.proofs.crash_ground import database, sandbox, stop
from tests.proofs.crash_scenes import HELPERS, SCENES, SHORT
from tests.proofs.report import Report

NAME = "crash"
SCHEDULES = {False: 2, True: 10_000}  # random ones, for all engines together
STRIDE = {
    ("sqlite", False): 20,
    ("postgresql", False): 120,
}  # the short run visits every so many points, and begins with another each seed
BATCH = 40
RULES = ("lost", "double", "free", "overpaid", "differ", "broken", "never at rest", "another end")
Plan = dict[str, Any]
Say = Callable[[str], None]


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Say = print, schedules: int = 0
) -> Report:
    """`schedules` instead of the usual number of random ones."""
    began = time.monotonic()
    share = (schedules or SCHEDULES[long]) // len(engines)
    scenes = list(SCENES if long else SHORT)
    trials = [Trial(engine, seed, scenes, share, STRIDE.get((engine, long), 1), say) for engine in engines]
    with ThreadPoolExecutor(len(trials)) as together:
        list(together.map(Trial.run, trials))
    report = Report(NAME, seed)
    for trial in trials:
        report.counts |= {f"{trial.engine} {name}": number for name, number in trial.counts.items()}
        report.wrong |= trial.wrong
    report.counts |= {rule: sum(f": {rule} (" in key for key in report.wrong) for rule in RULES}
    report.notes.append(f"scenes: {'; '.join(scenes)}")
    report.notes.append("longest wait: seconds a row left by a dead process would have waited for its first question")
    report.seconds = time.monotonic() - began
    return report


@dataclass
class Trial:
    """All of it on one kind of database."""

    engine: str
    seed: int
    scenes: Sequence[str]
    share: int
    stride: int
    say: Say
    counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def run(self) -> None:
        with database(self.engine) as url, sandbox() as pg, forkserver(url, pg.url, self.scenes) as server:
            try:
                self.visit(server)
            except EOFError as ended:
                self.wrong[f"{self.engine}: a life ended otherwise than at a point"] = [str(ended)]

    def visit(self, server: "Server") -> None:
        points = self.points(server)
        self.counts["crash points"] = sum(len(names) for names in points.values())
        self.follow(server, self.systematic(points), "points visited")
        self.say(f"{self.engine}: {self.counts['points visited']} of {self.counts['crash points']} points visited")
        self.follow(server, self.random_ones(points), "random schedules")

    def points(self, server: "Server") -> dict[str, list[str]]:
        """A life without a death counts them."""
        plans = [{"scene": scene, "lives": [["act", 0]], "ends": ["back"]} for scene in self.scenes]
        return {plan["scene"]: answer["passed"][0] for plan, answer in server(plans)}

    def systematic(self, points: dict[str, list[str]]) -> Iterator[Plan]:
        every = [(scene, number) for scene, names in points.items() for number in range(1, len(names) + 1)]
        for scene, number in every[self.seed % self.stride :: self.stride]:
            yield {"scene": scene, "lives": [["act", number]], "ends": ["alone", "back"]}

    def random_ones(self, points: dict[str, list[str]]) -> Iterator[Plan]:
        """The dice know only the seed and the engine, so that a run can be repeated."""
        dice = random.Random(f"{self.seed} {self.engine}")
        deepest = max(len(names) for names in points.values())
        for _ in range(self.share):
            scene = dice.choice(self.scenes)
            lives = [["act", dice.randint(1, max(1, len(points[scene])))]]
            for _ in range(dice.choice((0, 1, 1, 2, 2, 3))):
                lives.append([dice.choice(("act", *HELPERS)), dice.randint(1, deepest)])
            yield {"scene": scene, "lives": lives, "ends": [dice.choice(("alone", "back"))]}

    def follow(self, server: "Server", plans: Iterable[Plan], name: str) -> None:
        began = time.monotonic()
        for plan, answer in server(plans):
            self.counts[name] += 1
            self.counts["deaths"] += answer["deaths"]
            self.counts["most passes to rest"] = max(self.counts["most passes to rest"], answer["passes"])
            self.counts["longest wait"] = max(self.counts["longest wait"], round(answer["wait"]))
            for rule, rows in answer["wrong"].items():
                self.wrong[f"{self.engine} {json.dumps(plan)}: {rule}"] = rows
            if self.counts[name] % 500 == 0:
                each = (time.monotonic() - began) / self.counts[name]
                self.say(f"{self.engine}: {self.counts[name]} {name}, {each * 1000:.0f} ms each")


Server = Callable[[Iterable[Plan]], Iterator[tuple[Plan, dict[str, Any]]]]


@contextlib.contextmanager
def forkserver(url: str, pg_url: str, scenes: Sequence[str]) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.proofs.crash_child", url, pg_url, *scenes]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    tasks, answers = process.stdin, process.stdout

    def follow(plans: Iterable[Plan]) -> Iterator[tuple[Plan, dict[str, Any]]]:
        plans = iter(plans)
        while batch := list(islice(plans, BATCH)):
            print(json.dumps(batch), file=tasks, flush=True)
            for plan in batch:
                if not (answer := answers.readline()):
                    raise EOFError(json.dumps(plan))
                yield plan, json.loads(answer)

    try:
        assert answers.readline() == "ready\n", "the forkserver does not start"
        yield follow
    finally:
        tasks.close()
        stop(process)
        answers.close()
