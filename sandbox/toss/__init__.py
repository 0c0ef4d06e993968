"""The pretend Toss Payments."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sandbox.pages import script
from sandbox.toss import api, window
from sandbox.toss.store import Toss

SDK = Path(__file__).parent / "sdk"


async def sdk_v2(request: Request) -> Response:
    return script(SDK / "core.js", SDK / "v2.js")


async def sdk_v1(request: Request) -> Response:
    return script(SDK / "core.js", SDK / "v1.js")


routes = Mount(
    "/toss",
    routes=[
        Route("/v2/standard", sdk_v2),
        Route("/v1", sdk_v1),
        Route("/v1/payment", sdk_v1),
        Route("/v1/payments/confirm", api.confirm, methods=["POST"]),
        Route("/v1/payments/orders/{order_id}", api.find_order, methods=["GET"]),
        Route("/v1/payments/{payment_key}", api.find, methods=["GET"]),
        Route("/v1/payments/{payment_key}/cancel", api.cancel, methods=["POST"]),
        Route("/v1/payments/{payment_key}/checkout", window.show, methods=["GET"]),
        Route("/v1/transactions", api.transactions, methods=["GET"]),
        Route("/v1/transactions/", api.transactions, methods=["GET"]),
        Route("/v1/{path:path}", api.nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        Route("/_open", window.open_window, methods=["POST", "OPTIONS"]),
        Route("/_window/{payment_key}", window.show, methods=["GET"]),
        Route("/_window/{payment_key}/{action}", window.act, methods=["POST"]),
        Route("/_deposit/{order_id}", window.deposit, methods=["POST"]),
        Route("/receipt/redirection", window.receipt),
    ],
)

Books = Toss

__all__ = ["Books", "Toss", "routes"]
