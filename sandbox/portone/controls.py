"""What happens away from the buyer and the merchant: at the bank, at the PG, in PortOne's console."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.portone import moves, refunds
from sandbox.portone.call import body_of, portone_of
from sandbox.portone.errors import Refused, refusal
from sandbox.portone.store import PortOne
from sandbox.portone.transaction import Transaction

Effect = Callable[[PortOne, Transaction, dict[str, Any]], None]


async def carry_out(request: Request, effect: Effect) -> Response:
    """Answers the Payment object; people who pressed a button go home."""
    portone, people = portone_of(request), "text/html" in request.headers.get("accept", "")
    try:
        tx = portone.theirs(request.path_params["payment_id"], None)
        effect(portone, tx, {} if people else await body_of(request))
    except Refused as refused:
        return refusal(refused)
    return RedirectResponse("/", 303) if people else JSONResponse(portone.shown(tx))


async def deposit(request: Request) -> Response:
    return await carry_out(request, lambda portone, tx, _: moves.deposit(portone, tx))


async def cancel(request: Request) -> Response:
    """{"amount"}: cancelled in PortOne's console; {"at_pg": true}: in the PG's, which PortOne never hears of."""

    def effect(portone: PortOne, tx: Transaction, wanted: dict[str, Any]) -> None:
        account = {"bank": "KOOKMIN", "number": "12345678", "holderName": "콘솔"} if tx.account else None
        body = {"reason": "콘솔 취소", "amount": wanted.get("amount"), "refundAccount": account}
        if wanted.get("at_pg"):
            tx.outside += refunds.check(portone, tx, body)
        else:
            refunds.cancel(portone, tx, body, trigger="CONSOLE")

    return await carry_out(request, effect)


async def settle(request: Request) -> Response:
    """{"success": true}: a payment that was pending, or a cancellation that was requested, is decided."""

    def effect(portone: PortOne, tx: Transaction, wanted: dict[str, Any]) -> None:
        success = wanted.get("success", True)
        if tx.status != "PAY_PENDING":
            refunds.settle(portone, tx, success)
        elif success:
            moves.charge(portone, tx)
        else:
            moves.fail(portone, tx, "PAY_PROCESS_ABORTED")

    return await carry_out(request, effect)


async def tell(request: Request) -> Response:
    """{"type"}: any event about this payment, known or not."""

    def effect(portone: PortOne, tx: Transaction, wanted: dict[str, Any]) -> None:
        portone.announce(tx, str(wanted.get("type", "Tomorrow")).removeprefix("Transaction."))

    return await carry_out(request, effect)


routes = [
    Route("/_deposit/{payment_id}", deposit, methods=["POST"]),
    Route("/_cancel/{payment_id}", cancel, methods=["POST"]),
    Route("/_settle/{payment_id}", settle, methods=["POST"]),
    Route("/_tell/{payment_id}", tell, methods=["POST"]),
]
