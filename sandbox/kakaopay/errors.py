"""Every code of KakaoPay with its sentence: one table (pg/kakaopay.md §10)."""

import json
from typing import Any

from starlette.responses import Response

from sandbox.switches import Switches

CONTENT_TYPE = "application/json;charset=UTF-8"


class Refused(Exception):
    """`reason`: what the payment method itself said (extras.method_result_code)."""

    def __init__(self, code: int | str, reason: str | None = None, message: str | None = None) -> None:
        super().__init__(code)
        self.code, self.reason, self.message = int(code), reason, message

    @classmethod
    def read(cls, words: str) -> "Refused":
        """From "-702", "-781:6666", or an approval's bare reason: "USER_LOCKED"."""
        code, _, reason = words.partition(":") if words.startswith("-") else ("-780", "", words)
        return cls(code, reason or None)


# Known word for word: -701, -707, -780, -781. The others' real sentences are not (§13); a client reads the code.
MESSAGES = {
    -2: "invalid param",
    -400: "authorization header is missing!",
    -401: "secret key is wrong or not allowed!",
    -403: "this API is not registered for the application!",
    -404: "there is no such API!",
    -429: "daily quota is exceeded!",
    -500: "internal error!",
    -503: "under maintenance!",
    -701: "authentication doesn't complete!",
    -702: "payment is already done!",
    -703: "point amount is wrong!",
    -704: "method amount is wrong!",
    -705: "payment method is not supported!",
    -706: "partner order id is different when you ordered!",
    -707: "partner user id is different when you ordered!",
    -708: "pg token is wrong!",
    -710: "cancel amount is more than the cancelable amount!",
    -711: "cancel amount is more than the original amount!",
    -721: "tid does not exist!",
    -722: "amount is wrong!",
    -723: "payment is expired!",
    -724: "one-time amount is wrong!",
    -725: "total amount is wrong!",
    -726: "order is wrong!",
    -730: "partner application is wrong!",
    -731: "cid is wrong!",
    -732: "gid is wrong!",
    -733: "cid secret is wrong!",
    -780: "approval failure!",
    -781: "cancel failure!",
    -782: "subscription payment failure!",
    -783: "approval is not possible in this state!",
    -784: "cancel is not possible in this state!",
    -785: "payment or cancel is requested twice!",
    -797: "amount is over the limit of one payment!",
    -798: "this IP is not allowed!",
    -799: "redirect url is not on a registered domain!",
}
KNOWN = (-701, -707, -780, -781)
COMMON = (-400, -401, -403, -404, -429, -500, -503)  # their HTTP status is the number; every other code is a 400

# §10.3. The last four are of cards, from a list of 1,876.
REASONS = {
    "LACK_BALANCE": "잔액이 부족합니다.",
    "NOT_ENOUGH_BALANCE": "잔액이 부족합니다.",
    "LIMIT_ONE_TIME": "1회 결제 한도를 초과하였습니다.",
    "LIMIT_USE_PER_DAY": "1일 결제 한도를 초과하였습니다.",
    "USER_LOCKED": "진행중인 거래가 있습니다. 잠시 후 다시 시도해 주세요.",
    "BANK_FIRM_UNKNOWN": "은행 처리 결과를 확인할 수 없습니다. 20분 후 다시 시도해 주세요.",
    "BANK_FIRM_UNAVAILABLE": "은행 점검 시간입니다. 잠시 후 다시 시도해 주세요.",
    "1015": "부분취소 불가",
    "6666": "취소불가, 승인내역 확인요망",
    "8521": "한도초과",
    "8546": "잔액부족",
}


def refusal(refused: Refused, switches: Switches) -> Response:
    code = refused.code
    own = MESSAGES.get(code, "payment failure!")
    if code not in KNOWN:
        own = switches.text("error_message") or own
    body: dict[str, Any] = {"error_code": code, "error_message": refused.message or own}
    if refused.reason:
        said = REASONS.get(refused.reason, "결제 실패. 잠시 후 재시도 바랍니다.")
        body["extras"] = {"method_result_code": refused.reason, "method_result_message": said}
    mirrors = code in COMMON and (code == -401 or switches.text("common_status") == "mirror")
    return answer(body, -code if mirrors else 400)


def answer(body: dict[str, Any], status: int = 200) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, headers={"content-type": CONTENT_TYPE})
