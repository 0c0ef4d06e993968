"""A Chromium for the tests: the one you name, Playwright's own, the system's, or one installed on the spot.

`python -m tests.browsers` makes sure that there is one and says which.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright, sync_playwright

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
ARGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
SYSTEM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "microsoft-edge", "chrome", "msedge")
APPS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
HELP = """브라우저를 시작할 수 없습니다. / No browser could be started. One of these helps:
  CHROMIUM=/path/to/chrome python3 run.py test
  .venv/bin/python -m playwright install --with-deps chromium
  sudo apt-get install chromium fonts-noto-cjk fonts-noto-color-emoji"""
PLAYWRIGHT = (sys.executable, "-m", "playwright")
APT_INSTALL = ("apt-get", "install", "-y", "-qq", "--no-install-recommends")


class NoBrowser(RuntimeError):
    pass


def launch(playwright: Playwright) -> Browser:
    # Chromium's own sandbox is impossible for root and forbidden on some Linuxes: there, and only there, without it.
    for sandbox in [False] if ROOT else [True, False]:
        for path in candidates():
            try:
                return playwright.chromium.launch(executable_path=path, args=ARGS, chromium_sandbox=sandbox)
            except Error:
                continue
    raise NoBrowser(HELP)


def candidates() -> Iterator[str | None]:
    """Paths worth trying; None is Playwright's own. A browser that was named is the only one."""
    if named := os.environ.get("CHROMIUM"):
        yield named
        return
    yield None
    yield from filter(None, map(shutil.which, SYSTEM))
    yield from (path for path in APPS if Path(path).exists())


def installers() -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "Playwright의 Chromium (약 100 MB)", (*PLAYWRIGHT, "install", "--only-shell", "chromium")
    if ROOT and shutil.which("apt-get"):
        yield "시스템 패키지 목록", ("apt-get", "update", "-qq")
        yield "한글과 이모지 글꼴", (*APT_INSTALL, "fonts-noto-cjk", "fonts-noto-color-emoji")
        yield "시스템의 Chromium (1분쯤)", (*APT_INSTALL, "chromium")
        yield "Playwright의 Chromium에 필요한 라이브러리", (*PLAYWRIGHT, "install-deps", "chromium")


def version() -> str | None:
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except NoBrowser:
            return None
        with browser:
            return browser.version


def ensure() -> str:
    """The browser's version, after installing one where there was none."""
    if found := version():
        return found
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for what, command in [] if "CHROMIUM" in os.environ else installers():
        print(f"브라우저가 없어 설치합니다: {what} …", flush=True)
        if subprocess.run(command, capture_output=True, env=quiet, timeout=600, check=False).returncode:
            print("  여기서는 안 됩니다", flush=True)
        elif found := version():
            return found
    raise NoBrowser(HELP)


if __name__ == "__main__":
    try:
        print(f"브라우저: Chromium {ensure()}")
    except NoBrowser as problem:
        sys.exit(str(problem))
