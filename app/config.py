"""Every setting, read once from the environment (and `.env`), each documented where it stands."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from starlette.config import Config
from starlette.datastructures import Secret

ROOT = Path(__file__).parent.parent
log = logging.getLogger(__name__)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Misconfigured(Exception):
    """The app must not start like this. The message is for the person who deploys it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    app_env: str
    """`development` (default) or `production`, where weak keys, demo accounts and the sandbox are refused."""
    secret_key: Secret
    """Signs the session cookie and seals the accounts of open refunds. At least 32 characters in production."""
    base_url: str
    """The public origin, without a slash at its end; return URLs are built from it."""
    database_url: str = field(repr=False)
    """A SQLite file by default, `postgresql://…` in production."""

    toss_client_key: str = field(repr=False)
    toss_secret_key: Secret
    toss_api_url: str
    toss_sdk_url: str

    kakaopay_secret_key: Secret
    kakaopay_cid: str = field(repr=False)
    kakaopay_api_url: str
    portone_store_id: str = field(repr=False)
    portone_channel_key: str = field(repr=False)
    portone_api_secret: Secret
    portone_webhook_secret: Secret
    """One `whsec_…`, or two with a comma while they rotate; without one, webhooks are not checked, only looked into."""
    portone_api_url: str
    portone_sdk_url: str

    portone_v1_imp_key: str = field(repr=False)
    portone_v1_imp_secret: Secret
    portone_v1_imp_code: str = field(repr=False)
    portone_v1_channel_key: str = field(repr=False)
    portone_v1_api_url: str
    portone_v1_sdk_url: str

    seller_name: str
    """상호. Who sells stands below every page (전자상거래법 §10, §13); what is empty is left out there."""
    seller_owner: str
    """대표자."""
    seller_registration: str
    """사업자등록번호."""
    seller_mail_order: str
    """통신판매업 신고번호 (§12)."""
    seller_address: str
    seller_contact: str
    """Telephone, e-mail or both, as buyers should read it."""

    refund_approval_above: int
    """Whole won of one payment given back above which a second person must agree; 0 = off."""
    pg_timeout: float
    """Seconds for one PG call. A page of a PG's book, which only the reconciliation page waits for, has a minute."""
    settle_after: float
    """Seconds before the reconciler takes up an unsettled payment."""
    reconcile_every: float
    """Seconds between two reconciliation passes of a running app; 0 turns them off."""

    source: Config = field(default_factory=lambda: Config(environ={}), repr=False, compare=False)

    def key(self, name: str, default: str = "") -> Secret:
        """A setting of a gateway that this file does not know, from where all the others come."""
        return Secret(self.source(name, default=default))

    @property
    def production(self) -> bool:
        return self.app_env.strip().lower().startswith("prod")  # a misspelt production is not taken for anything less

    def check(self) -> None:
        """Refuse what must never face the public. Raises Misconfigured."""
        for name, seconds, least in (
            ("PG_TIMEOUT", self.pg_timeout, 0.001),
            ("SETTLE_AFTER", self.settle_after, 0),
            ("RECONCILE_EVERY", self.reconcile_every, 0),
        ):
            if not math.isfinite(seconds) or seconds < least:
                raise Misconfigured(f"{name}은(는) {'0보다 큰' if least else '0 이상의'} 초여야 합니다.")
        if self.refund_approval_above < 0:
            raise Misconfigured("REFUND_APPROVAL_ABOVE는 0 이상의 원 금액이어야 합니다.")
        if not self.production:
            return
        key = str(self.secret_key)
        if len(key) < 32 or len(set(key)) < 10:
            raise Misconfigured(
                "SECRET_KEY가 없거나 약합니다. 32자 이상의 무작위 값을 넣어 주세요: "
                'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        for name in (it.name for it in fields(self) if it.name.endswith(("_api_url", "_sdk_url"))):
            url = urlsplit(getattr(self, name))
            if url.scheme != "https" or url.hostname in LOOPBACK:
                raise Misconfigured(
                    f"{name.upper()}이 https가 아니거나 이 컴퓨터를 가리킵니다. "
                    "운영 환경에서는 샌드박스를 쓸 수 없습니다."
                )
        if urlsplit(self.base_url).scheme != "https":
            log.warning("BASE_URL이 https로 시작하는 공개 주소가 아닙니다. 구매자가 결제사에서 돌아오지 못합니다.")
        unsaid = [
            it.name.upper() for it in fields(self) if it.name.startswith("seller_") and not getattr(self, it.name)
        ]
        if unsaid:
            log.warning("판매자 정보가 빠져 있습니다 (전자상거래법 제10조, 제13조): %s", ", ".join(unsaid))


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The environment first, then `.env`; or only `environ`. Raises Misconfigured when a value cannot be read."""
    if environ is not None:
        config = Config(environ=environ)
    else:
        config = Config(ROOT / ".env" if (ROOT / ".env").exists() else None)

    def seconds(name: str, default: float) -> float:
        try:
            return float(config(name, default=default))
        except ValueError as error:
            raise Misconfigured(f"{name}에는 초를 숫자로 넣어 주세요.") from error

    try:
        approval_above = int(config("REFUND_APPROVAL_ABOVE", default="0"))
    except ValueError as error:
        raise Misconfigured("REFUND_APPROVAL_ABOVE에는 원 금액을 숫자로 넣어 주세요.") from error

    return Settings(
        app_env=config("APP_ENV", default="development"),
        secret_key=Secret(config("SECRET_KEY", default="")),
        base_url=config("BASE_URL", default="http://localhost:8000").rstrip("/"),
        database_url=config("DATABASE_URL", default=f"sqlite:///{ROOT / 'data' / 'app.db'}"),
        toss_client_key=config("TOSS_CLIENT_KEY", default=""),
        toss_secret_key=Secret(config("TOSS_SECRET_KEY", default="")),
        toss_api_url=config("TOSS_API_URL", default="https://api.tosspayments.com").rstrip("/"),
        toss_sdk_url=config("TOSS_SDK_URL", default="https://js.tosspayments.com/v2/standard"),
        seller_name=config("SELLER_NAME", default=""),
        seller_owner=config("SELLER_OWNER", default=""),
        seller_registration=config("SELLER_REGISTRATION", default=""),
        seller_mail_order=config("SELLER_MAIL_ORDER", default=""),
        seller_address=config("SELLER_ADDRESS", default=""),
        seller_contact=config("SELLER_CONTACT", default=""),
        refund_approval_above=approval_above,
        kakaopay_secret_key=Secret(config("KAKAOPAY_SECRET_KEY", default="")),
        kakaopay_cid=config("KAKAOPAY_CID", default=""),
        kakaopay_api_url=config("KAKAOPAY_API_URL", default="https://open-api.kakaopay.com").rstrip("/"),
        portone_store_id=config("PORTONE_STORE_ID", default=""),
        portone_channel_key=config("PORTONE_CHANNEL_KEY", default=""),
        portone_api_secret=Secret(config("PORTONE_API_SECRET", default="")),
        portone_webhook_secret=Secret(config("PORTONE_WEBHOOK_SECRET", default="")),
        portone_api_url=config("PORTONE_API_URL", default="https://api.portone.io").rstrip("/"),
        portone_sdk_url=config("PORTONE_SDK_URL", default="https://cdn.portone.io/v2/browser-sdk.js"),
        portone_v1_imp_key=config("PORTONE_V1_IMP_KEY", default=""),
        portone_v1_imp_secret=Secret(config("PORTONE_V1_IMP_SECRET", default="")),
        portone_v1_imp_code=config("PORTONE_V1_IMP_CODE", default=""),
        portone_v1_channel_key=config("PORTONE_V1_CHANNEL_KEY", default=""),
        portone_v1_api_url=config("PORTONE_V1_API_URL", default="https://api.iamport.kr").rstrip("/"),
        portone_v1_sdk_url=config("PORTONE_V1_SDK_URL", default="https://cdn.iamport.kr/v1/iamport.js"),
        pg_timeout=seconds("PG_TIMEOUT", 20),
        settle_after=seconds("SETTLE_AFTER", 60),
        reconcile_every=seconds("RECONCILE_EVERY", 30),
        source=config,
    )
