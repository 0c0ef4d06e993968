"""A PG that says yes to every confirm and cancel: quick, so that it is not what is measured.

`POST /delay` with a number of seconds, and from then on it takes so long to answer.
"""

import asyncio
import json
from typing import Any

delay = 0.0  # seconds


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    global delay
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/delay":
        delay, body = float(body), b"{}"
    asked = json.loads(body or b"{}")
    await asyncio.sleep(delay)
    answer = {
        "status": "DONE",
        "orderId": asked.get("orderId"),
        "paymentKey": asked.get("paymentKey"),
        "totalAmount": asked.get("amount"),
        "currency": "KRW",
        "method": "카드",
    }
    if scope["path"].endswith("/cancel"):
        key, whole = scope["path"].split("/")[-2], asked.get("cancelAmount")
        answer |= {"status": "CANCELED", "paymentKey": key, "orderId": key.removeprefix("pay_"), "totalAmount": whole}
        answer["cancels"] = [{"transactionKey": f"back_{key}", "cancelAmount": whole}]
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
