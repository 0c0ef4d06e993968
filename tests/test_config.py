"""Settings: all are read, secrets stay secret, and production refuses what must never face the public."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app import config
from app.config import Misconfigured, read_settings
from app.main import create_app

STRONG = "kX8vQ2mZ5tR9wB4nL7pD1fG6hJ3sC0yA"
PRODUCTION = {
    "APP_ENV": "production",
    "SECRET_KEY": STRONG,
    "BASE_URL": "https://shop.example",
    "DATABASE_URL": "postgresql://shop:open-sesame@db.example/shop",
    "TOSS_CLIENT_KEY": "live_ck_1",
    "TOSS_SECRET_KEY": "live_sk_1",
    "KAKAOPAY_SECRET_KEY": "PRDKAKAOSECRET",
    "KAKAOPAY_CID": "C012345678",
    "PORTONE_API_SECRET": "portone-secret-1",
    "PORTONE_WEBHOOK_SECRET": "whsec_1",
    "PORTONE_V1_IMP_SECRET": "imp-secret-1",
    "SELLER_NAME": "찐부부",
    "SELLER_OWNER": "김찐",
    "SELLER_REGISTRATION": "123-45-67890",
    "SELLER_MAIL_ORDER": "2026-서울마포-0001",
    "SELLER_ADDRESS": "서울 마포구",
    "SELLER_CONTACT": "02-123-4567",
}


def test_every_setting_of_the_contract_is_read() -> None:
    given = {
        "APP_ENV": "staging",
        "SECRET_KEY": "s" * 40,
        "BASE_URL": "https://shop.example/",
        "DATABASE_URL": "sqlite:////tmp/other.db",
        "TOSS_CLIENT_KEY": "ck",
        "TOSS_SECRET_KEY": "sk",
        "TOSS_API_URL": "https://api.example/",
        "TOSS_SDK_URL": "https://sdk.example/v2",
        "KAKAOPAY_SECRET_KEY": "KP",
        "KAKAOPAY_CID": "TC0ONETIME",
        "KAKAOPAY_API_URL": "https://kakao.example/",
        "PORTONE_STORE_ID": "store-1",
        "PORTONE_CHANNEL_KEY": "channel-key-1",
        "PORTONE_API_SECRET": "ps",
        "PORTONE_WEBHOOK_SECRET": "whsec_1",
        "PORTONE_API_URL": "https://portone.example/",
        "PORTONE_SDK_URL": "https://sdk.example/portone.js",
        "PORTONE_V1_IMP_KEY": "ik",
        "PORTONE_V1_IMP_SECRET": "is",
        "PORTONE_V1_IMP_CODE": "imp1",
        "PORTONE_V1_CHANNEL_KEY": "channel-key-2",
        "PORTONE_V1_API_URL": "https://v1.example/",
        "PORTONE_V1_SDK_URL": "https://sdk.example/imp.js",
        "SELLER_NAME": "찐부부",
        "SELLER_OWNER": "김찐",
        "SELLER_REGISTRATION": "123-45-67890",
        "SELLER_MAIL_ORDER": "2026-서울마포-0001",
        "SELLER_ADDRESS": "서울 마포구",
        "SELLER_CONTACT": "02-123-4567",
        "REFUND_APPROVAL_ABOVE": "100000",
        "PG_TIMEOUT": "3.5",
        "SETTLE_AFTER": "7",
        "RECONCILE_EVERY": "0",
    }
    expected: dict[str, Any] = {name.lower(): value for name, value in given.items()} | {
        "base_url": "https://shop.example",
        "toss_api_url": "https://api.example",
        "kakaopay_api_url": "https://kakao.example",
        "portone_api_url": "https://portone.example",
        "portone_v1_api_url": "https://v1.example",
        "pg_timeout": 3.5,
        "settle_after": 7.0,
        "reconcile_every": 0.0,
    }
    settings = read_settings(given)
    for name, value in expected.items():
        read = getattr(settings, name)
        assert (read if isinstance(read, float) else str(read)) == value, name


def test_without_settings_it_is_a_shop_on_localhost_without_a_pg() -> None:
    settings = read_settings({})
    assert not settings.production
    assert settings.base_url == "http://localhost:8000"
    assert str(settings.database_url).startswith("sqlite:///")
    assert settings.toss_api_url == "https://api.tosspayments.com"
    assert settings.toss_sdk_url == "https://js.tosspayments.com/v2/standard"
    assert settings.kakaopay_api_url == "https://open-api.kakaopay.com"
    assert settings.portone_api_url == "https://api.portone.io"
    assert settings.portone_v1_api_url == "https://api.iamport.kr"
    assert settings.portone_v1_sdk_url == "https://cdn.iamport.kr/v1/iamport.js"
    assert settings.portone_sdk_url == "https://cdn.portone.io/v2/browser-sdk.js"
    assert (settings.pg_timeout, settings.settle_after, settings.reconcile_every) == (20, 60, 30)
    assert settings.refund_approval_above == 0
    settings.check()


def test_the_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('TOSS_CLIENT_KEY=from_file\nBASE_URL="https://file.example"\n# a comment\n')
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.delenv("TOSS_CLIENT_KEY", raising=False)
    monkeypatch.setenv("BASE_URL", "https://environment.example")
    settings = read_settings()
    assert settings.toss_client_key == "from_file"
    assert settings.base_url == "https://environment.example"
    (tmp_path / ".env").unlink()
    assert read_settings().toss_client_key == ""


def test_no_secret_is_shown() -> None:
    settings = read_settings(PRODUCTION)
    shown = f"{settings!r} {settings}"
    for secret in (STRONG, "live_sk_1", "open-sesame", "portone-secret-1", "whsec_1", "imp-secret-1", "PRDKAKAOSECRET"):
        assert secret not in shown, secret


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"SECRET_KEY": "changeme"}, "SECRET_KEY"),
        ({"SECRET_KEY": STRONG[:31]}, "SECRET_KEY"),
        ({"SECRET_KEY": "a" * 64}, "SECRET_KEY"),
        ({"SECRET_KEY": "abcabcabc" * 8}, "SECRET_KEY"),
        ({"TOSS_API_URL": "http://localhost:9000/toss"}, "TOSS_API_URL"),
        ({"TOSS_SDK_URL": "http://localhost:9000/toss/v2/standard"}, "TOSS_SDK_URL"),
        ({"TOSS_API_URL": "api.tosspayments.com"}, "TOSS_API_URL"),
        ({"TOSS_API_URL": "https://localhost:9000/toss"}, "TOSS_API_URL"),
        ({"PORTONE_API_URL": "https://[::1]:9000/portone"}, "PORTONE_API_URL"),
        ({"KAKAOPAY_API_URL": "http://localhost:9000/kakaopay"}, "KAKAOPAY_API_URL"),
        ({"PORTONE_API_URL": "http://localhost:9000/portone"}, "PORTONE_API_URL"),
        ({"PORTONE_V1_API_URL": "http://localhost:9000/portone_v1"}, "PORTONE_V1_API_URL"),
        ({"PORTONE_V1_SDK_URL": "http://localhost:9000/portone_v1/v1/iamport.js"}, "PORTONE_V1_SDK_URL"),
        ({"PORTONE_SDK_URL": "http://localhost:9000/portone/v2/browser-sdk.js"}, "PORTONE_SDK_URL"),
    ],
)
def test_production_refuses_what_must_not_face_the_public(changed: dict[str, str], sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence) as refused:
        create_app(read_settings(PRODUCTION | changed))
    assert STRONG not in str(refused.value)
    read_settings(PRODUCTION | changed | {"APP_ENV": "development"}).check()


def test_production_starts_with_good_settings() -> None:
    read_settings(PRODUCTION).check()


def test_production_warns_when_buyers_could_not_come_back(caplog: pytest.LogCaptureFixture) -> None:
    for url in ("", "http://shop.example", "shop.example"):
        caplog.clear()
        create_app(read_settings(PRODUCTION | {"BASE_URL": url}))
        assert "BASE_URL" in caplog.text, url
    caplog.clear()
    create_app(read_settings(PRODUCTION))
    assert caplog.text == ""


def test_production_warns_of_a_seller_who_does_not_say_who_he_is(caplog: pytest.LogCaptureFixture) -> None:
    create_app(read_settings(PRODUCTION | {"SELLER_OWNER": "", "SELLER_MAIL_ORDER": ""}))
    assert "SELLER_OWNER, SELLER_MAIL_ORDER" in caplog.text
    assert "SELLER_NAME" not in caplog.text


def test_a_misspelt_environment_is_not_taken_for_development() -> None:
    """Otherwise `Production` runs with every guard off."""
    for name in ("Production", "PRODUCTION", "prod", " production"):
        with pytest.raises(Misconfigured, match="SECRET_KEY"):
            read_settings(PRODUCTION | {"APP_ENV": name, "SECRET_KEY": "weak"}).check()


def test_production_refuses_demo_accounts(database_url: str) -> None:
    """The story's buyer and admin have the demo's addresses."""
    app = create_app(read_settings(PRODUCTION | {"DATABASE_URL": database_url}))
    with pytest.raises(Misconfigured, match="데모 계정"), TestClient(app):
        pass


@pytest.mark.parametrize("name", ["PG_TIMEOUT", "SETTLE_AFTER", "RECONCILE_EVERY", "REFUND_APPROVAL_ABOVE"])
def test_a_number_that_cannot_be_read_is_told(name: str) -> None:
    for value in ("soon", "", "nan", "inf", "-1"):
        with pytest.raises(Misconfigured, match=name):
            read_settings({name: value}).check()


def test_without_a_key_no_app_is_made() -> None:
    with pytest.raises(Misconfigured, match="SECRET_KEY"):
        create_app(read_settings({}))
