"""The browser SDKs, run by node on a page that refuses what a strict CSP refuses."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.shop import Shop

PAGES = Path(__file__).parent
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


def play(live: Shop, path: str, page: str = "page.mjs") -> dict[str, Any]:
    url = str(live.http.base_url).rstrip("/")
    run = subprocess.run(
        ["node", str(PAGES / page), url, path], capture_output=True, text=True, timeout=30, check=False
    )
    assert run.returncode == 0, run.stderr
    outcomes: dict[str, Any] = json.loads(run.stdout)
    return outcomes


@needs_node
def test_sdk_v2_behaves_as_the_sheet_says(live: Shop) -> None:
    assert play(live, "/toss/v2/standard") == {
        "anonymous": "@@ANONYMOUS",
        "malformed client key": "INVALID_CLIENT_KEY",
        "secret as client key": "INVALID_CLIENT_KEY",
        "no client key": "INVALID_CLIENT_KEY",
        "widget key": "NOT_SUPPORTED_WIDGET_KEY",
        "widgets with an individual key": "NOT_SUPPORTED_API_INDIVIDUAL_KEY",
        "no customer key": "INVALID_PARAMETERS",
        "bad customer key": "INVALID_CUSTOMER_KEY",
        "secret as customer key": "INSECURE_KEY_USAGE",
        "v1 call": "V1_METHOD_NOT_SUPPORTED",
        "no request": "INVALID_PARAMETERS",
        "bare amount": "INVALID_PARAMETERS",
        "NaN amount": "INVALID_AMOUNT_VALUE",
        "relative url": "INCORRECT_SUCCESS_URL_FORMAT",
        "promise on a phone": "NOT_SUPPORTED_PROMISE",
        "phone leaves the page": True,
        "success navigates the top page": [True, ["http://shop.example/return?amount=9900"], 0, 0],
        "closing rejects and stays": ["USER_CANCEL", [], 0],
        "escape": "USER_CANCEL",
        "strangers are not heard": 0,
        "promise mode resolves": {"paymentKey": "p", "orderId": "o", "amount": {"currency": "KRW", "value": 1}},
        "two at once": ["INVALID_METHOD_TRANSACTION", "USER_CANCEL"],
        "destroy": ["NO_ACTIVE_PAYMENT_REQUEST", "PaymentRequestAbortedError", 0],
        "errors have a sentence": True,
    }


@needs_node
def test_sdk_v1_takes_a_method_and_a_number(live: Shop) -> None:
    assert play(live, "/toss/v1/payment") == {
        "navigates": ["http://shop.example/return"],
        "promise amount is a number": {"paymentKey": "p", "orderId": "o", "amount": 1},
        "object amount": "INVALID_AMOUNT_VALUE",
    }


@pytest.mark.parametrize(
    "path",
    ["/toss/v2/standard", "/toss/v1", "/toss/v1/payment", "/portone/v2/browser-sdk.js", "/portone_v1/v1/iamport.js"],
)
def test_the_sdk_leaves_nothing_for_a_csp_to_refuse(shop: Shop, path: str) -> None:
    answer = shop.http.get(path)
    assert answer.headers["content-type"].startswith("text/javascript")
    assert not re.search(r"innerHTML|insertAdjacent|document\.write|eval\(|cssText|new Function", answer.text)
