"""What a merchant's page asks requestPayment for, checked before a window opens (pg/portone.md §6)."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sandbox.clock import KST
from sandbox.portone.codes import METHODS
from sandbox.portone.errors import Refused

PAYMENT_ID = re.compile(r"[A-Za-z0-9_-]{6,64}", re.ASCII)
STORE = re.compile(r"store-[0-9A-Za-z-]{3,64}", re.ASCII)
CHANNEL = re.compile(r"channel-key-[0-9A-Za-z-]{3,64}", re.ASCII)
WINDOWS = {"pc": ("IFRAME", "POPUP", "REDIRECTION", "UI"), "mobile": ("IFRAME", "POPUP", "REDIRECTION", "UI")}
REQUIRED = ("storeId", "paymentId", "orderName", "totalAmount", "currency", "payMethod")


def check(wanted: dict[str, Any], provider: str) -> None:
    """Raises Refused with the code that the SDK throws."""
    for name in REQUIRED:
        if wanted.get(name) in (None, ""):
            raise Refused("BadRequest", why=f"{name}은(는) 필수 입력입니다.")
    check_keys(wanted)
    check_amounts(wanted)
    if not isinstance(wanted["orderName"], str):
        raise Refused("BadRequest", why="orderName은 문자열이어야 합니다.")
    if wanted["payMethod"] not in METHODS:
        raise Refused("BadRequest", why="지원하지 않는 payMethod입니다.")
    if provider == "KAKAOPAY" and wanted["payMethod"] != "EASY_PAY":
        raise Refused("BadRequest", why="카카오페이는 EASY_PAY만 지원합니다.")
    check_return(wanted)
    check_options(wanted)


def check_keys(wanted: dict[str, Any]) -> None:
    if not matches(STORE, wanted["storeId"]):
        raise Refused("StoreNotFound")
    if (wanted.get("channelKey") is None) == (wanted.get("channelGroupId") is None):
        raise Refused("BadRequest", why="channelKey와 channelGroupId 중 하나가 필요합니다.")
    if wanted.get("channelKey") is not None and not matches(CHANNEL, wanted["channelKey"]):
        raise Refused("ChannelNotFound")
    if not matches(PAYMENT_ID, wanted["paymentId"]):
        raise Refused("BadRequest", why="paymentId는 영문, 숫자, -, _ 로 6자 이상 64자 이하여야 합니다.")


def check_amounts(wanted: dict[str, Any]) -> None:
    for name in ("totalAmount", "taxFreeAmount", "vatAmount"):
        value = wanted.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise Refused("BadRequest", why=f"{name}은(는) 정수여야 합니다.")
    if wanted["totalAmount"] < 1:
        raise Refused("BadRequest", why="totalAmount는 0보다 커야 합니다.")
    if wanted["currency"] not in ("KRW", "CURRENCY_KRW"):
        raise Refused("BadRequest", why="지원하지 않는 통화입니다.")


def check_return(wanted: dict[str, Any]) -> None:
    url = wanted.get("redirectUrl")
    if url is not None:
        parts = urlsplit(url) if isinstance(url, str) else None
        if not parts or parts.scheme not in ("http", "https") or not parts.netloc:
            raise Refused("BadRequest", why="redirectUrl은 http 또는 https 주소여야 합니다.")
    if url is None and (wanted.get("forceRedirect") or wanted.get("windowTarget") == "self"):
        raise Refused("BadRequest", why="이 환경에서는 redirectUrl이 필요합니다.")
    notices = wanted.get("noticeUrls")
    if notices is not None and not (isinstance(notices, list) and all(isinstance(it, str) for it in notices)):
        raise Refused("BadRequest", why="noticeUrls는 주소의 목록이어야 합니다.")


def check_options(wanted: dict[str, Any]) -> None:
    for name in ("customer", "windowType", "card", "easyPay", "virtualAccount", "transfer", "bypass"):
        if wanted.get(name) is not None and not isinstance(wanted[name], dict):
            raise Refused("BadRequest", why=f"{name}은(는) 객체여야 합니다.")
    for device, window in (wanted.get("windowType") or {}).items():
        if window not in WINDOWS.get(device, ()):
            raise Refused("BadRequest", why="windowType이 올바르지 않습니다.")
    if wanted["payMethod"] == "VIRTUAL_ACCOUNT":
        expiry = (wanted.get("virtualAccount") or {}).get("accountExpiry")
        if not isinstance(expiry, dict) or due(expiry) is None:
            raise Refused("BadRequest", why="virtualAccount.accountExpiry가 필요합니다.")


def due(expiry: dict[str, Any], now: float = 0) -> float | None:
    """When a virtual account ends: so many hours from now, or at a time of its own (Korean by default)."""
    hours, date = expiry.get("validHours"), expiry.get("dueDate")
    if isinstance(hours, int) and hours > 0:
        return now + hours * 3600
    try:
        found = datetime.fromisoformat(date) if isinstance(date, str) else None
    except ValueError:
        found = None
    return None if found is None else (found if found.tzinfo else found.replace(tzinfo=KST)).timestamp()


def matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))
