"""What a merchant's page asks the window for, checked as the SDK checks it (pg/toss.md §1.2)."""

import re
from typing import Any
from urllib.parse import urlsplit

from sandbox.toss.codes import CARDS, CARRIERS, EASY_PAYS, KOREAN_METHODS, METHODS, code_of
from sandbox.toss.errors import Refused

ANONYMOUS = "@@ANONYMOUS"
CLIENT_KEY = re.compile(r"(test|live)_(g?ck)_\w{3,}", re.ASCII)
SECRET_KEY = re.compile(r"(test|live)_g?sk_")
CUSTOMER_KEY = re.compile(r"[A-Za-z0-9\-_=.@]{2,50}")
ORDER_ID = re.compile(r"[A-Za-z0-9\-_=]{6,64}")
CURRENCIES = {"CARD": ("KRW", "USD", "JPY")}

OPTIONS = {
    "CARD": "card",
    "VIRTUAL_ACCOUNT": "virtualAccount",
    "TRANSFER": "transfer",
    "MOBILE_PHONE": "mobilePhone",
    "CULTURE_GIFT_CERTIFICATE": "cultureGiftCertificate",
    "BOOK_GIFT_CERTIFICATE": "bookGiftCertificate",
    "GAME_GIFT_CERTIFICATE": "gameGiftCertificate",
}
CARD_OPTIONS = set(
    """
    flowMode cardCompany easyPay cardInstallmentPlan maxCardInstallmentPlan freeInstallmentPlans useCardPoint
    useAppCardOnly discountCode useEscrow escrowProducts taxExemptionAmount validHours dueDate useInternationalCardOnly
    language showEstimatedAmount appScheme keyin showMobileAppHeader
    """.split()
)
CASH_RECEIPTS = ("소득공제", "지출증빙", "미발행")
MOST_HOURS = 2160  # 90 days
TRANSFER_OPTIONS = {"cashReceipt", "useEscrow", "escrowProducts", "taxExemptionAmount", "isCulturalExpenses"}
ACCOUNT_OPTIONS = {
    "TRANSFER": TRANSFER_OPTIONS,
    "VIRTUAL_ACCOUNT": TRANSFER_OPTIONS | {"validHours", "dueDate", "showCustomerMobilePhone"},
}
COMMON = set(
    """
    method amount orderId orderName successUrl failUrl customerKey customerEmail customerName customerMobilePhone
    taxFreeAmount windowTarget metadata pendingUrl sandbox subOrders orderProductCode
    clientKey sdk
    """.split()
)


def check_keys(wanted: dict[str, Any]) -> None:
    client, customer = wanted.get("clientKey"), wanted.get("customerKey", ANONYMOUS)
    found = CLIENT_KEY.fullmatch(client) if isinstance(client, str) else None
    if not found:
        raise Refused("INVALID_CLIENT_KEY")
    if found[2] == "gck":
        raise Refused("NOT_SUPPORTED_WIDGET_KEY")
    if not isinstance(customer, str):
        raise Refused("INVALID_PARAMETERS")
    if SECRET_KEY.search(customer):
        raise Refused("INSECURE_KEY_USAGE")
    if customer != ANONYMOUS and not CUSTOMER_KEY.fullmatch(customer):
        raise Refused("INVALID_CUSTOMER_KEY")


def method_of(wanted: dict[str, Any]) -> str:
    method = wanted.get("method")
    if not isinstance(method, str):
        raise Refused("INVALID_PARAMETERS")
    if wanted.get("sdk") == "v1":
        method = KOREAN_METHODS.get(method, method)
    if method not in METHODS:
        raise Refused("NOT_SUPPORTED_METHOD")
    return method


def amount_of(wanted: dict[str, Any], method: str) -> tuple[int, str]:
    """The value and its currency. v1 says a number, v2 an object; each refuses the other's."""
    asked = wanted.get("amount")
    if wanted.get("sdk") == "v1":
        asked = {"currency": "KRW", "value": asked}
    if not isinstance(asked, dict) or not asked.keys() <= {"currency", "value"}:
        raise Refused("INVALID_PARAMETERS")
    value, currency = asked.get("value"), asked.get("currency")
    if currency not in CURRENCIES.get(method, ("KRW",)):
        raise Refused("INVALID_AMOUNT_CURRENCY")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise Refused("INVALID_AMOUNT_VALUE")
    if value < 0:
        raise Refused("BELOW_ZERO_AMOUNT")
    return int(value), str(currency)


def check_order(wanted: dict[str, Any]) -> None:
    order_id, name = wanted.get("orderId"), wanted.get("orderName")
    if not isinstance(order_id, str) or not ORDER_ID.fullmatch(order_id):
        raise Refused("INVALID_PARAMETERS")
    if not isinstance(name, str) or not 1 <= len(name) <= 100:
        raise Refused("INVALID_PARAMETERS")


def check_urls(wanted: dict[str, Any]) -> None:
    """Both or neither: neither means the promise answers."""
    success, fail = wanted.get("successUrl"), wanted.get("failUrl")
    if success is None and fail is None:
        return
    if not absolute(success):
        raise Refused("INCORRECT_SUCCESS_URL_FORMAT")
    if not absolute(fail):
        raise Refused("INCORRECT_FAIL_URL_FORMAT")


def absolute(url: object) -> bool:
    parts = urlsplit(url) if isinstance(url, str) else None
    return bool(parts and parts.scheme and parts.netloc and not re.search(r"\s", str(url)))


def check_window(wanted: dict[str, Any]) -> None:
    if wanted.get("windowTarget", "self") not in ("self", "iframe"):
        raise Refused("INVALID_PARAMETERS")
    tax_free = wanted.get("taxFreeAmount", 0)
    if isinstance(tax_free, bool) or not isinstance(tax_free, int) or tax_free < 0:
        raise Refused("INVALID_PARAMETERS")


def check_customer(wanted: dict[str, Any]) -> None:
    for name in ("customerEmail", "customerName"):
        value = wanted.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= 100):
            raise Refused("INVALID_PARAMETERS")
    phone = wanted.get("customerMobilePhone")
    if phone is not None and not re.fullmatch(r"[0-9]{8,15}", str(phone)):
        raise Refused("INVALID_PARAMETERS")


def check_metadata(wanted: dict[str, Any]) -> None:
    metadata = wanted.get("metadata")
    if metadata is None:
        return
    if not isinstance(metadata, dict) or len(metadata) > 5:
        raise Refused("INVALID_METADATA")
    for key, value in metadata.items():
        if len(key) > 40 or re.search(r"[\[\]]", key) or not isinstance(value, str) or len(value) > 2000:
            raise Refused("INVALID_METADATA")


def options_of(wanted: dict[str, Any], method: str) -> dict[str, Any]:
    if wanted.get("sdk") == "v1":  # v1 wrote the options flat
        return {key: value for key, value in wanted.items() if key not in COMMON}
    if unknown := wanted.keys() - COMMON - {OPTIONS[method]}:
        raise Refused("V1_METHOD_NOT_SUPPORTED" if unknown & CARD_OPTIONS else "INVALID_PARAMETERS")
    options = wanted.get(OPTIONS[method]) or {}
    if not isinstance(options, dict):
        raise Refused("INVALID_PARAMETERS")
    return options


def check_options(options: dict[str, Any], method: str, strict: bool) -> None:
    if method == "CARD":
        check_card(options, strict)
    if method in ACCOUNT_OPTIONS and strict:
        check_account(options, ACCOUNT_OPTIONS[method])
    if method == "MOBILE_PHONE" and not set(options.get("mobileCarriers") or ()) <= CARRIERS.keys():
        raise Refused("NOT_SUPPORTED_CARRIER")
    if options.get("validHours") is not None and options.get("dueDate") is not None:
        raise Refused("INVALID_VALID_HOURS_WITH_DUE_DATE_AND_SINGLE")


def check_account(options: dict[str, Any], known: set[str]) -> None:
    if not options.keys() <= known:
        raise Refused("INVALID_PARAMETERS")
    receipt = options.get("cashReceipt")
    if receipt is not None and not (isinstance(receipt, dict) and receipt.get("type") in CASH_RECEIPTS):
        raise Refused("INVALID_CASH_RECEIPT_INFO")
    hours = options.get("validHours")
    if hours is None:
        return
    if isinstance(hours, bool) or not isinstance(hours, int) or hours < 1:
        raise Refused("INVALID_PARAMETERS")
    if hours > MOST_HOURS:
        raise Refused("EXCEED_MAX_VALID_HOURS")


def check_card(options: dict[str, Any], strict: bool) -> None:
    if strict and not options.keys() <= CARD_OPTIONS:
        raise Refused("INVALID_PARAMETERS")
    if options.get("flowMode", "DEFAULT") not in ("DEFAULT", "DIRECT"):
        raise Refused("INVALID_PARAMETERS")
    if options.get("flowMode") == "DIRECT" and not (options.get("cardCompany") or options.get("easyPay")):
        raise Refused("INVALID_FLOW_MODE_PARAMETERS")
    if {"cardInstallmentPlan", "maxCardInstallmentPlan"} <= options.keys():
        raise Refused("INVALID_CARD_INSTALLMENT_PLANS_WITH_MAX_AND_SINGLE")
    if options.get("cardCompany") and not code_of(str(options["cardCompany"]), CARDS):
        raise Refused("INVALID_CARD_COMPANY")
    easy_pay = options.get("easyPay")
    if easy_pay and easy_pay not in EASY_PAYS and easy_pay not in EASY_PAYS.values():
        raise Refused("INVALID_EASY_PAY")


def check(wanted: dict[str, Any]) -> tuple[str, int, str, dict[str, Any]]:
    """Method, amount, currency and the method's options, or the SDK's refusal."""
    check_keys(wanted)
    method = method_of(wanted)
    options = options_of(wanted, method)
    amount, currency = amount_of(wanted, method)
    check_order(wanted)
    check_urls(wanted)
    check_window(wanted)
    check_customer(wanted)
    check_metadata(wanted)
    check_options(options, method, strict=wanted.get("sdk") != "v1")
    return method, amount, currency, options
