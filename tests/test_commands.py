"""`python -m app …`: a person at a terminal, a process of its own, a real database."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine
from sqlalchemy import URL, create_engine, text

from app import __main__, auth, config
from app.config import Misconfigured, read_settings
from tests import story
from tests.conftest import Cashier, House
from tests.postgres import create_database, drop_database
from tests.sandboxes import Sandbox

EMAIL, PASSWORD = "boss@example.com", "a long enough one"
ROOT = Path(__file__).parent.parent


def start(*words: str, database_url: str, **environ: str) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    given = {"SECRET_KEY": "only for tests", "DATABASE_URL": database_url, "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, "-m", "app", *words],
        cwd=ROOT,
        env=kept | given | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # no terminal to ask for a password
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, complained = process.communicate(timeout=50)
    return process.returncode, said, complained


def run(*words: str, database_url: str, **environ: str) -> str:
    code, said, complained = end(start(*words, database_url=database_url, **environ))
    assert (code, complained) == (0, ""), complained
    return said


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def test_a_new_shop_is_set_up_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "shop.db"
    url = f"sqlite:///{path}"
    run("migrate", database_url=url)
    assert EMAIL in run("create-admin", "Boss@Example.com", database_url=url, ADMIN_PASSWORD=PASSWORD)
    ((email, is_admin, role, password_hash),) = rows(path, "SELECT email, is_admin, role, password_hash FROM user")
    assert (email, is_admin, role) == (EMAIL, 1, "owner")
    assert str(password_hash).startswith("$argon2id$")
    token = run("create-token", EMAIL, database_url=url).strip()
    assert len(token) >= 40
    ((digest,),) = rows(path, "SELECT digest FROM apitoken")
    assert digest == auth.digest(token)
    assert token.encode() not in path.read_bytes(), "shown once, never stored"
    assert run("reconcile", database_url=url) == "0건을 정리했습니다.\n"


def test_a_demo_shop_is_set_up_on_postgresql_too(postgres: str) -> None:
    name = f"commands_{uuid4().hex}"
    url = create_database(postgres, name)
    try:
        run("migrate", database_url=url)
        assert "프롬프트 24개" in run("demo", "--payments", "50", "--seed", "7", database_url=url)
    finally:
        drop_database(postgres, name)


def test_what_goes_wrong_is_told_in_a_sentence(sqlite_template: Path, tmp_path: Path) -> None:
    """On stderr, with exit code 1, without a traceback. All at once: processes are slow to start."""
    shutil.copy(sqlite_template, tmp_path / "app.db")
    shop, new = f"sqlite:///{tmp_path / 'app.db'}", f"sqlite:///{tmp_path / 'never-migrated.db'}"
    nowhere = "postgresql://nobody:open-sesame@127.0.0.1:1/nothing"
    cases: dict[str, subprocess.Popen[str]] = {
        "no such account": start("create-token", "nobody@example.com", database_url=shop),
        "never migrated": start("reconcile", database_url=new),
        "no password and no terminal": start("create-admin", EMAIL, database_url=shop, PYTHONWARNINGS=""),
        "database away": start("reconcile", database_url=nowhere),
        "not a database": start("migrate", database_url="nonsense"),
    }
    harsh = {}
    for case, process in cases.items():
        code, said, complained = end(process)
        if (code, said) != (1, "") or not complained.strip() or "Traceback" in complained or "sesame" in complained:
            harsh[case] = (code, said, complained[-300:])
    assert not harsh


# The same verbs without the cost of a process.


def act(settings_from: House, *words: str) -> None:
    namespace = __main__.words_of(list(words))
    namespace.act(settings_from.settings, namespace)


def test_a_token_opens_the_api_as_its_account_and_nothing_else(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    def token_of(email: str) -> dict[str, str]:
        act(house, "create-token", email)
        return {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}

    admins, buyers = token_of(story.ADMIN), token_of(story.BUYER)
    visitor = house.visitor()
    assert visitor.get("/api/admin/payments", headers=admins).status_code == 200
    assert visitor.get("/api/admin/payments", headers=buyers).status_code == 403
    order = {"prompt_id": 1, "payment_method": "card"}
    assert visitor.post("/api/payment/prepare", json=order, headers=buyers).status_code == 201
    assert visitor.get("/admin/payments", headers=admins).status_code == 303, "pages are for sessions"
    with pytest.raises(Misconfigured, match="계정이 없습니다"):
        act(house, "create-token", "nobody@example.com")


def test_revoked_tokens_open_nothing_and_others_go_on(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = []
    for email in (story.ADMIN, story.ADMIN, story.BUYER):
        act(house, "create-token", email)
        tokens.append({"Authorization": f"Bearer {capsys.readouterr().out.strip()}"})
    act(house, "revoke-tokens", story.ADMIN.upper())
    assert "토큰 2개를" in capsys.readouterr().out
    statuses = [house.visitor().get("/api/admin/payments", headers=token).status_code for token in tokens]
    assert statuses == [401, 401, 403]
    with pytest.raises(Misconfigured, match="계정이 없습니다"):
        act(house, "revoke-tokens", "nobody@example.com")


def test_making_an_admin_again_ends_its_tokens(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has a new password because the old one got known wants nobody in by another door."""
    act(house, "create-token", story.ADMIN)
    token = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    assert house.visitor().get("/api/admin/payments", headers=token).status_code == 200
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    act(house, "create-admin", story.ADMIN)
    assert house.visitor().get("/api/admin/payments", headers=token).status_code == 401


def test_making_an_admin_again_sets_a_new_password_and_ends_old_sessions(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = house.visitor(story.OTHER)
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    act(house, "create-admin", story.OTHER)
    assert old.get("/purchases").status_code == 303
    assert house.visitor().log_in(story.OTHER, PASSWORD).get("/admin/payments").status_code == 200
    answer = house.visitor().post("/login", data={"email": story.OTHER, "password": story.PASSWORD})
    assert answer.status_code == 422, "the old password is over"


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [
        ("boss@example.com", "short", "8자 이상"),
        ("boss", PASSWORD, "이메일 주소"),
        ("boss@example.com", "aaaaaaaa", "쉬운"),
    ],
)
def test_an_admin_needs_a_real_address_and_a_good_password(
    monkeypatch: pytest.MonkeyPatch, email: str, password: str, sentence: str
) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", password)
    words = __main__.words_of(["create-admin", email])
    with pytest.raises(Misconfigured, match=sentence) as refused:
        words.act(read_settings({}), words)
    assert password not in str(refused.value)


def test_demo_data_is_refused_in_production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = __main__.words_of(["demo"])
    with pytest.raises(Misconfigured, match="데모"):
        words.act(read_settings({"APP_ENV": "production", "DATABASE_URL": f"sqlite:///{tmp_path / 'x.db'}"}), words)
    assert not (tmp_path / "x.db").exists()


def test_a_refusal_ends_the_process_with_the_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["app", "serve"])
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("SECRET_KEY", "weak")
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert "SECRET_KEY" in str(ended.value.code), "sys.exit prints it on stderr and ends with 1"


@pytest.mark.parametrize(
    "words", [["--from", "2026-01-01"], ["--to", "2026-01-01"], ["--from", "2026-01-02", "--to", "2026-01-01"]]
)
def test_reconcile_refuses_half_a_period_and_one_backwards(house: House, words: list[str]) -> None:
    """A nightly job with a slip in it must not report that the books agree."""
    with pytest.raises(Misconfigured, match="--from과 --to"):
        act(house, "reconcile", *words)


def test_reconcile_says_what_it_settled(house: House, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    buyer, cashier = house.visitor(story.BUYER), Cashier(sandbox)
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "reset", when="after")
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == "in_doubt"
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=1)):
        act(house, "reconcile")
    assert capsys.readouterr().out == f"{checkout.order_id}  completed  ₩10,000\n1건을 정리했습니다.\n"
    assert house.payment(checkout.order_id).status == "completed"
