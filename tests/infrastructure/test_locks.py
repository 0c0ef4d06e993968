import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
GROUPS: dict[str, list[str]] = {
    "requirements.txt": [],
    "requirements-dev.txt": ["dev"],
    "requirements-long.txt": ["dev", "long"],
}
LOCKS = list(GROUPS)
PIN = re.compile(r"^([\w.-]+(?:\[[\w,]+\])?)==([^\s;]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    found = PIN.findall((ROOT / lock).read_text())
    return {plain(name.partition("[")[0]): version for name, version in found}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(lock: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    more = [line for group in GROUPS[lock] for line in project["dependency-groups"][group]]
    return [Requirement(line) for line in [*project["project"]["dependencies"], *more]]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_the_project_asks_for(lock: str) -> None:
    pinned = pins(lock)
    for asked in wanted(lock):
        version = pinned.get(plain(asked.name), "")
        assert version, f"{asked} is not in {lock}: python3 run.py lock"
        assert asked.specifier.contains(version), f"{lock} has {version}, asked is {asked}: python3 run.py lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text())
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_tests_run_on_the_versions_that_are_deployed() -> None:
    for smaller, bigger in itertools.pairwise(LOCKS):
        assert pins(smaller).items() <= pins(bigger).items()
