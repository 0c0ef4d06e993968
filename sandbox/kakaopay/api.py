"""The server API of KakaoPay: ready, approve, order, cancel (pg/kakaopay.md §4-§8)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.kakaopay import moves
from sandbox.kakaopay.asked import Asked
from sandbox.kakaopay.call import kakaopay_of, serve
from sandbox.kakaopay.errors import Refused
from sandbox.kakaopay.payment import PAID, local

PAGES = {"pc": "pc", "mobile": "mobile-web", "app": "mobile-app"}


async def ready(request: Request) -> Response:
    kakaopay = kakaopay_of(request)
    host = f"{str(request.base_url).rstrip('/')}/kakaopay/mockup/bridge"

    def act(asked: Asked, forced: Refused | None) -> dict[str, Any]:
        if forced:
            raise forced
        payment = moves.ready(kakaopay, asked)
        page = f"pg/one-time/payment/{payment.key}"
        urls = {f"next_redirect_{name}_url": f"{host}/{kind}/{page}" for name, kind in PAGES.items()}
        scheme = f"kakaotalk://kakaopay/pg?url={host}/mobile-app/{page}"
        apps = {"android_app_scheme": scheme, "ios_app_scheme": scheme}
        return {"tid": payment.tid, **urls, **apps, "created_at": local(payment.created_at)}

    return await serve(request, "ready", act)


async def approve(request: Request) -> Response:
    kakaopay = kakaopay_of(request)
    return await serve(request, "approve", lambda asked, forced: moves.approve(kakaopay, asked, forced).approval())


async def order(request: Request) -> Response:
    kakaopay = kakaopay_of(request)
    switches = kakaopay.world.switches

    def act(asked: Asked, forced: Refused | None) -> dict[str, Any]:
        if forced:
            raise forced
        payment, status = moves.order(kakaopay, asked)
        bare = payment.status not in PAID and switches.text("unpaid_order") == "bare"
        return payment.order(status, bare=bare, amounts=switches.text("action_amounts") == "given")

    return await serve(request, "order", act)


async def cancel(request: Request) -> Response:
    kakaopay = kakaopay_of(request)

    def act(asked: Asked, forced: Refused | None) -> dict[str, Any]:
        payment, given = moves.cancel(kakaopay, asked, forced)
        return payment.cancellation(given)

    return await serve(request, "cancel", act)
