"""The pretend KakaoPay."""

from starlette.routing import Mount, Route

from sandbox.kakaopay import api, window
from sandbox.kakaopay.call import nothing
from sandbox.kakaopay.store import KakaoPay

V1 = "/online/v1/payment"

routes = Mount(
    "/kakaopay",
    routes=[
        Route(f"{V1}/ready", api.ready, methods=["POST"]),
        Route(f"{V1}/approve", api.approve, methods=["POST"]),
        Route(f"{V1}/order", api.order, methods=["POST"]),
        Route(f"{V1}/cancel", api.cancel, methods=["POST"]),
        Route("/mockup/bridge/{kind}/pg/one-time/payment/{key}", window.show, methods=["GET"]),
        Route("/_window/{tid}", window.show, methods=["GET"]),
        Route("/_window/{tid}/{action}", window.act, methods=["POST"]),
        Route("/{path:path}", nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ],
)

Books = KakaoPay

__all__ = ["Books", "KakaoPay", "routes"]
