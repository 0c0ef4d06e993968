"""The pretend PortOne V1 (아임포트)."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sandbox.pages import script
from sandbox.portone import controls, window
from sandbox.portone_v1 import api
from sandbox.portone_v1.store import PortOneV1

SDK = Path(__file__).parent / "sdk"


async def sdk(request: Request) -> Response:
    return script(SDK / "iamport.js")


routes = Mount(
    "/portone_v1",
    routes=[
        Route("/v1/iamport.js", sdk),
        Route("/users/getToken", api.get_token, methods=["POST"]),
        Route("/payments/prepare", api.prepare, methods=["POST", "PUT"]),
        Route("/payments/prepare/{merchant_uid}", api.prepared, methods=["GET"]),
        Route("/payments/cancel", api.cancel, methods=["POST"]),
        Route("/payments/find/{merchant_uid}", api.by_merchant_uid, methods=["GET"]),
        Route("/payments/find/{merchant_uid}/{status}", api.by_merchant_uid, methods=["GET"]),
        Route("/payments/{imp_uid}", api.by_imp_uid, methods=["GET"]),
        Route("/receipt/{tx_id}", window.receipt),
        *window.routes,
        *controls.routes,
    ],
)

Books = PortOneV1

__all__ = ["Books", "PortOneV1", "routes"]
