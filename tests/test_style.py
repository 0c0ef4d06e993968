"""Lint, format and types: what `python3 run.py check` looks at."""

import subprocess
import sys

import pytest

from app.config import ROOT


def complaints(*words: str) -> str:
    """What the tool says; nothing when all is well."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.timeout(180)
def test_the_code_is_free_of_lint() -> None:
    assert complaints("ruff", "check", "--output-format", "concise") == ""


@pytest.mark.timeout(180)
def test_the_code_is_formatted() -> None:
    assert complaints("ruff", "format", "--check") == ""


@pytest.mark.timeout(180)
def test_the_types_agree() -> None:
    assert complaints("mypy") == ""
