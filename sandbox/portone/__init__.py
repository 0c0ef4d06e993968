"""The pretend PortOne V2."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sandbox.pages import script
from sandbox.portone import api, controls, window
from sandbox.portone.store import PortOne

SDK = Path(__file__).parent / "sdk"


async def sdk(request: Request) -> Response:
    return script(SDK / "browser-sdk.js")


routes = Mount(
    "/portone",
    routes=[
        Route("/v2/browser-sdk.js", sdk),
        Route("/login/api-secret", api.log_in, methods=["POST"]),
        Route("/token/refresh", api.refresh, methods=["POST"]),
        Route("/payments", api.find_many, methods=["GET"]),
        Route("/payments/{payment_id}", api.find, methods=["GET"]),
        Route("/payments/{payment_id}/transactions", api.attempts, methods=["GET"]),
        Route("/payments/{payment_id}/pre-register", api.pre_register, methods=["POST"]),
        Route("/payments/{payment_id}/confirm", api.confirm, methods=["POST"]),
        Route("/payments/{payment_id}/cancel", api.cancel, methods=["POST"]),
        Route("/payments/{payment_id}/virtual-account/close", api.close_account, methods=["POST"]),
        Route("/payments/{payment_id}/resend-webhook", api.resend, methods=["POST"]),
        Route("/payments/{path:path}", api.nothing, methods=["GET", "POST"]),
        Route("/receipt/{tx_id}", window.receipt),
        *window.routes,
        *controls.routes,
    ],
)

Books = PortOne

__all__ = ["Books", "PortOne", "routes"]
