#!/usr/bin/env python3
"""Sets up what the word needs, then does it. Nothing but Python 3.11 or newer has to be there.

python3 run.py              try it out: the shop, and the pretend PGs when no keys are set
python3 run.py test [...]   every test; what follows goes to pytest
python3 run.py check        lint, format, types
python3 run.py proofs [...] every proof about money, or those named, long; writes docs/proofs.md
python3 run.py mutants [...] is every line of the money core held by a test? writes docs/mutants.md
python3 run.py bench [...]  how long things take, beside others; writes docs/benchmarks.md (--rows N, --to FILE)
python3 run.py lock [...]   write requirements*.txt anew (--upgrade: with newer versions)
"""

import hashlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from types import FrameType
from typing import NamedTuple

if sys.version_info < (3, 11):
    sys.exit("Python 3.11 이상이 필요합니다 / needs Python 3.11 or newer: python3.12 run.py")

HERE = Path(__file__).resolve().parent
BIN, EXE = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
VENV, OWN_UV = HERE / ".venv", HERE / ".uv"
PYTHON = VENV / BIN / f"python{EXE}"
LOCKS = LOCK, DEV_LOCK, LONG_LOCK = [HERE / f"requirements{of}.txt" for of in ("", "-dev", "-long")]
"""Each holds what the one before it holds."""
COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes"),
    *("--no-header", "--no-annotate", "--no-emit-index-url", "pyproject.toml", "--output-file"),
)
ENDINGS = [signal.SIGTERM] if os.name == "nt" else [signal.SIGTERM, signal.SIGHUP]
WEBHOOK_SECRET = "whsec_" + b64encode(b"between our shop and its pretend PG").decode()
KEYS = ("TOSS_SECRET_KEY", "KAKAOPAY_SECRET_KEY", "PORTONE_API_SECRET", "PORTONE_V1_IMP_SECRET")
SELLER = {
    "SELLER_NAME": "찐부부 (예시)",
    "SELLER_OWNER": "홍길동",
    "SELLER_REGISTRATION": "000-00-00000",
    "SELLER_MAIL_ORDER": "제0000-예시-0000호",
    "SELLER_ADDRESS": "서울특별시 예시구 예시로 1",
    "SELLER_CONTACT": "02-000-0000, help@example.com",
}
NO_PACKAGES = """패키지를 설치하지 못했습니다. 인터넷 연결을 확인하거나 pip을 설치하세요.
Packages could not be installed: check the network, or install pip (Debian, Ubuntu: sudo apt install python3-venv)."""
WELCOME = """
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
  찐부부 프롬프트 상점이 열렸습니다:  {shop}

  구매자   buyer@example.com   buyer-demo-pass
  관리자   admin@example.com   admin-demo-pass   {shop}/admin/payments

  {payments}
  끝내기: Ctrl-C
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
"""

Child = subprocess.Popen[bytes]
complaints: list[str] = []


def say(text: str) -> None:
    print(text, flush=True)


# Setting up


def set_up(lock: Path) -> None:
    """Makes .venv agree with the lock, or leaves it with one that holds more."""
    stamp, installed = VENV / "installed-lock", ""
    if works(PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
        installed = stamp.read_text() if stamp.exists() else ""
    else:
        shutil.rmtree(VENV, ignore_errors=True)
    if installed in map(digest, LOCKS[LOCKS.index(lock) :]):
        return
    say("준비 중: 패키지 설치 (처음에는 10초쯤 걸립니다)")
    if not (install_with_uv(lock) or install_with_pip(VENV, "--require-hashes", "-r", str(lock))):
        sys.exit("\n".join([*complaints[-1:], NO_PACKAGES]))
    stamp.write_text(digest(lock))


def install_with_uv(lock: Path) -> bool:
    """Compiled at once: where Python may not keep what it compiles, every start would take a second longer."""
    uv = find_uv()
    if not uv:
        return False
    fresh = PYTHON.exists() or works(uv, "venv", "--quiet", f"--python={sys.executable}", VENV)
    return fresh and works(uv, "pip", "sync", "--quiet", "--compile-bytecode", f"--python={PYTHON}", lock)


def find_uv() -> str | None:
    """uv from PATH, else from a private environment: a system's Python may refuse packages of its own (PEP 668)."""
    own = OWN_UV / BIN / f"uv{EXE}"
    for uv in filter(None, (shutil.which("uv"), str(own))):
        if works(uv, "--version"):
            return uv
    return str(own) if install_with_pip(OWN_UV, "uv") else None


def install_with_pip(into: Path, *what: str) -> bool:
    """The pip that is here may install elsewhere; where there is none, the new environment gets its own."""
    inside = str(into / BIN / f"python{EXE}")
    us, install = (sys.executable, "-m"), ("install", "--quiet", *what)
    return (
        works(*us, "venv", "--clear", "--without-pip", into) and works(*us, "pip", "--python", inside, *install)
    ) or (works(*us, "venv", "--clear", into) and works(inside, "-m", "pip", *install))


def works(*command: str | Path) -> bool:
    try:
        done = subprocess.run(command, cwd=HERE, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    if done.returncode:
        complaints.append((done.stderr or done.stdout).decode(errors="replace").strip()[-1000:])
    return done.returncode == 0


def digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


# Running other programs: none of them outlives us


def run(*command: str | Path, env: dict[str, str] | None = None, deaf: bool = False) -> int:
    child = start(*command, env=env, deaf=deaf)
    try:
        return child.wait()
    except BaseException as why:  # who heard Ctrl-C too may finish what it has to say
        stop(child, told=isinstance(why, KeyboardInterrupt) and not deaf)
        raise


def start(*command: str | Path, env: dict[str, str] | None = None, deaf: bool = False) -> Child:
    """Ctrl-C reaches every program in the terminal. A deaf one leaves it to us to end it, without a traceback."""
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN) if deaf else signal.getsignal(signal.SIGINT)
    try:
        return subprocess.Popen(command, cwd=HERE, env=env)
    finally:
        signal.signal(signal.SIGINT, ours)


def stop(*children: Child, told: bool = False, patience: float = 5) -> None:
    for number in (signal.SIGINT, *ENDINGS):
        signal.signal(number, signal.SIG_IGN)
    for ask in (None if told else Child.terminate, Child.terminate, Child.kill):
        deadline = time.monotonic() + patience
        for child in children:
            if ask and child.poll() is None:
                ask(child)
        while any(child.poll() is None for child in children) and time.monotonic() < deadline:
            time.sleep(0.05)


def leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


# The words


class Program(NamedTuple):
    name: str
    port: int
    path: str
    words: tuple[str, ...]


def try_out() -> int:
    given = settings()
    pretend = not any(given.get(key) for key in KEYS)
    port = free_port("PORT", "8000")
    pg_port = free_port("SANDBOX_PORT", "9000") if pretend else 0
    set_up(LOCK)

    shop, pg = f"http://localhost:{port}", f"http://localhost:{pg_port}"
    ours = {"BASE_URL": given.get("BASE_URL") or shop, "SECRET_KEY": given.get("SECRET_KEY") or secret_key()}
    host = ("--host", "127.0.0.1", "--port")
    programs = [Program("상점", port, "/healthz", ("app", "serve", *host, str(port)))]
    payments = "설정된 PG로 결제합니다"
    if pretend:
        ours |= {"TOSS_CLIENT_KEY": "test_ck_sandbox", "TOSS_SECRET_KEY": "test_sk_sandbox"}
        ours |= {"TOSS_API_URL": f"{pg}/toss", "TOSS_SDK_URL": f"{pg}/toss/v2/standard"}
        ours |= {"SANDBOX_TOSS_WEBHOOK_URL": f"{shop}/webhooks/toss"}
        ours |= {"KAKAOPAY_SECRET_KEY": "DEV" + "SANDBOX0" * 4 + "SANDB", "KAKAOPAY_CID": "TC0ONETIME"}
        ours |= {"KAKAOPAY_API_URL": f"{pg}/kakaopay"}
        ours |= {"PORTONE_STORE_ID": "store-sandbox", "PORTONE_CHANNEL_KEY": "channel-key-sandbox"}
        ours |= {"PORTONE_API_SECRET": "sandbox", "PORTONE_WEBHOOK_SECRET": WEBHOOK_SECRET}
        ours |= {"PORTONE_API_URL": f"{pg}/portone", "PORTONE_SDK_URL": f"{pg}/portone/v2/browser-sdk.js"}
        ours |= {"SANDBOX_PORTONE_WEBHOOK_URL": f"{shop}/webhooks/portone"}
        ours |= {"SANDBOX_PORTONE_WEBHOOK_SECRET": WEBHOOK_SECRET}
        ours |= {"PORTONE_V1_IMP_KEY": "sandbox", "PORTONE_V1_IMP_SECRET": "sandbox"}
        ours |= {"PORTONE_V1_IMP_CODE": "imp00000000", "PORTONE_V1_CHANNEL_KEY": "channel-key-sandbox"}
        ours |= {"PORTONE_V1_API_URL": f"{pg}/portone_v1", "PORTONE_V1_SDK_URL": f"{pg}/portone_v1/v1/iamport.js"}
        ours |= {"SANDBOX_PORTONE_V1_WEBHOOK_URL": f"{shop}/webhooks/portone_v1"}
        ours |= {name: given.get(name) or pretended for name, pretended in SELLER.items()}
        sandbox = ("uvicorn", "sandbox:app", "--log-level", "warning", *host, str(pg_port))
        programs.append(Program("가짜 PG", pg_port, "/_ledger", sandbox))
        payments = f"가짜 PG로 결제합니다. 진짜 돈은 움직이지 않습니다 ({pg}/_ledger)"
    env = {**os.environ, **ours}
    for verb in ("migrate", "demo"):
        problem = run(PYTHON, "-m", "app", verb, env=env, deaf=True)
        if problem:
            return problem
    return run_together(programs, env, WELCOME.format(shop=shop, payments=payments))


def run_together(programs: list[Program], env: dict[str, str], welcome: str) -> int:
    """Side by side until we are told to stop, or one of them stops."""
    children: list[Child] = []
    try:
        for program in programs:
            children.append(start(PYTHON, "-m", *program.words, env=env, deaf=True))
        while all(child.poll() is None for child in children):
            if welcome and all(map(answers, programs)):
                say(welcome)
                welcome = ""
            time.sleep(0.2)
        for program, child in zip(programs, children, strict=True):
            if child.poll() is not None:
                say(f"{program.name} 서버가 멈췄습니다 (종료 코드 {child.returncode}). 위의 메시지를 확인하세요.")
        return 1
    except (KeyboardInterrupt, SystemExit):
        say("\n끝냅니다 …")
        return 0
    finally:
        stop(*children)


def answers(program: Program) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=2)
    try:
        connection.request("GET", program.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port(name: str, default: str) -> int:
    port = os.environ.get(name) or default
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name != "nt")
            probe.bind(("127.0.0.1", int(port)))
    except (OSError, ValueError, OverflowError):
        sys.exit(
            f"{port}번 포트를 쓸 수 없습니다. 다른 포트로 시작하세요: {name}=18000 python3 run.py\n"
            f"Port {port} cannot be used: set {name} to another."
        )
    return int(port)


def settings() -> dict[str, str]:
    """The environment over .env, as the app reads them."""
    dotenv = HERE / ".env"
    lines = dotenv.read_text("utf-8").splitlines() if dotenv.exists() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs} | dict(os.environ)


def secret_key() -> str:
    kept = HERE / "data" / "secret_key"
    kept.parent.mkdir(exist_ok=True)
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(48))
    return kept.read_text()


def test(*words: str) -> int:
    set_up(DEV_LOCK)
    say("브라우저 확인 중 (없으면 지금 설치합니다. 길면 몇 분)")
    problem = run(PYTHON, "-m", "tests.browsers")
    if problem:
        return problem
    say("테스트 실행: SQLite, 진짜 PostgreSQL, 진짜 브라우저 (모두 돌려도 5분 안에 끝납니다)")
    # Every worker, and every program that a test starts, would compile all that it imports anew.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return run(PYTHON, "-m", "pytest", "-n", "3", *words, env=env)


def check() -> int:
    set_up(DEV_LOCK)
    failed = []
    for words in (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)):
        say(f"· {' '.join(words)}")
        if run(PYTHON, "-m", *words):
            failed.append(" ".join(words))
    say(f"실패: {', '.join(failed)}" if failed else "모두 통과했습니다")
    return 1 if failed else 0


def proofs(*words: str) -> int:
    set_up(DEV_LOCK)
    say("돈에 대한 증명을 모두 길게 돌립니다: 한 시간쯤 걸리고, 결과는 docs/proofs.md에 적힙니다.")
    return run(PYTHON, "-m", "tests.proofs", *words)


def mutants(*words: str) -> int:
    set_up(LONG_LOCK)
    say("돈을 다루는 코드를 한 곳씩 바꿔 봅니다: 한 시간쯤 걸리고, 결과는 docs/mutants.md에 적힙니다.")
    return run(PYTHON, "-m", "tests.mutation", *words)


def bench(*words: str) -> int:
    set_up(LONG_LOCK)
    say("결제 100만 건을 SQLite와 PostgreSQL에서 재고 다른 것들과 견줍니다. 5분쯤 걸립니다 (docs/benchmarks.md).")
    return run(PYTHON, "-m", "benchmarks", *words)


def lock(*words: str) -> int:
    uv = find_uv()
    if not uv:
        sys.exit("uv를 설치하지 못했습니다 / uv could not be installed: see astral.sh/uv")
    for number, file in enumerate(LOCKS):
        groups = ("--group=dev", "--group=long")[:number]
        smaller = ("--constraint", LOCKS[number - 1].name) if number else ()
        problem = run(uv, *COMPILE, file.name, *groups, *smaller, *words)
        if problem:
            return problem
    return 0


WORDS = {"": try_out, "test": test, "check": check, "proofs": proofs, "mutants": mutants, "bench": bench, "lock": lock}


def main(word: str = "", *words: str) -> int:
    for number in ENDINGS:
        signal.signal(number, leave)
    if word not in WORDS or (words and word == "check"):
        say(__doc__ or "")
        return 0 if word in {"help", "-h", "--help"} else 2
    return WORDS[word](*words)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
