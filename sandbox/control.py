"""The strings behind the stage: settings, switches, clock, faults, ledger, webhooks, all over HTTP."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.clock import kst
from sandbox.faults import Fault
from sandbox.ledger import ledger
from sandbox.pages import page
from sandbox.world import World

SHOWN = 50  # payments on the home page


def world_of(request: Request) -> World:
    world: World = request.app.state.world
    return world


def wrong(sentence: object, status: int = 422) -> JSONResponse:
    return JSONResponse({"error": str(sentence)}, status)


async def change(request: Request, effect: Callable[[dict[str, Any]], None]) -> JSONResponse | None:
    """Apply a JSON object; answer what is wrong with it, if anything."""
    try:
        wanted = await request.json()
        if not isinstance(wanted, dict):
            raise ValueError("expected a JSON object")
        effect(wanted)
    except ValueError as error:
        return wrong(error)
    return None


async def settings(request: Request) -> Response:
    its = world_of(request).settings
    refused = await change(request, its.change) if request.method == "PUT" else None
    return refused or JSONResponse(its.shown())


async def switches(request: Request) -> Response:
    its = world_of(request).switches
    refused = await change(request, its.turn) if request.method == "PUT" else None
    return refused or JSONResponse(its.shown())


async def clock(request: Request) -> Response:
    world = world_of(request)

    def advance(wanted: dict[str, Any]) -> None:
        seconds = wanted.get("advance_seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError("advance_seconds is a number")
        world.clock.advance(seconds)
        world.sweep()
        world.outbox.wake.set()

    refused = await change(request, advance) if request.method == "PUT" else None
    return refused or JSONResponse({"now": kst(world.clock.now()), "advanced_seconds": world.clock.skipped})


async def faults(request: Request) -> Response:
    world = world_of(request)
    if request.method == "DELETE":
        world.faults.clear()
    return JSONResponse(world.faults.shown())


async def fault(request: Request) -> Response:
    """One fault, or a list of them that strike one after the other."""
    world, pg, call = world_of(request), request.path_params["pg"], request.path_params["call"]
    if gateway := world.gateways.get(pg):
        call = gateway.aliases.get(call, call)
    if gateway is None or call not in gateway.calls:
        return wrong(f"no such call: {pg}/{call}", 404)
    if request.method == "DELETE":
        world.faults.clear(f"{pg}/{call}")
        return JSONResponse(world.faults.shown())
    try:
        wanted = await request.json()
        found = [Fault.read(it) for it in (wanted if isinstance(wanted, list) else [wanted])]
    except (ValueError, TypeError) as error:
        return wrong(error)
    world.faults.put(pg, call, found)
    return JSONResponse(world.faults.shown())


async def read_ledger(request: Request) -> Response:
    return JSONResponse(ledger(world_of(request).entries()))


async def read_order(request: Request) -> Response:
    order_id = request.path_params["order_id"]
    found = ledger(entry for entry in world_of(request).entries() if entry.order_id == order_id)
    return JSONResponse(found["orders"][order_id]) if found["orders"] else wrong(f"no such order: {order_id}", 404)


async def webhooks(request: Request) -> Response:
    return JSONResponse([delivery.shown() for delivery in world_of(request).outbox.deliveries.values()])


async def resend(request: Request) -> Response:
    outbox = world_of(request).outbox
    delivery = outbox.deliveries.get(request.path_params["id"])
    if delivery is None:
        return wrong("no such webhook", 404)
    outbox.resend(delivery)
    return back(request) or JSONResponse(delivery.shown(), 202)


async def forget(request: Request) -> Response:
    world_of(request).reset()
    return Response(status_code=204)


def back(request: Request) -> Response | None:
    """People pressed a button on the home page; programs want JSON."""
    return RedirectResponse("/", 303) if "text/html" in request.headers.get("accept", "") else None


async def home(request: Request) -> Response:
    world = world_of(request)
    world.sweep()
    entries = list(world.entries())
    total = ledger(entries)
    deliveries = list(world.outbox.deliveries.values())
    return page(
        "home.html",
        payments=entries[: -SHOWN - 1 : -1],
        total=total,
        deliveries=deliveries[: -SHOWN - 1 : -1],
        now=world.clock.now(),
    )


async def healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


routes = [
    Route("/", home),
    Route("/healthz", healthz),
    Route("/_settings", settings, methods=["GET", "PUT"]),
    Route("/_switches", switches, methods=["GET", "PUT"]),
    Route("/_clock", clock, methods=["GET", "PUT"]),
    Route("/_faults", faults, methods=["GET", "DELETE"]),
    Route("/_faults/{pg}/{call}", fault, methods=["PUT", "DELETE"]),
    Route("/_ledger", read_ledger),
    Route("/_ledger/{order_id}", read_order),
    Route("/_webhooks", webhooks),
    Route("/_webhooks/{id}/resend", resend, methods=["POST"]),
    Route("/_state", forget, methods=["DELETE"]),
]
