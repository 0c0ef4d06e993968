"""Every URL on one screen, each named; templates and tests use the names."""

from collections.abc import Callable
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from app.gateways import gateway_label, method_label
from app.order_id import ORDER_ID
from app.render import STATIC, environment
from app.routes import (
    admin,
    api,
    approvals,
    bulk,
    checkout,
    exports,
    library,
    operations,
    overview,
    reconciliation,
    record,
    refunding,
    sessions,
    shop,
    views,
    webhooks,
)


class OrderIdConvertor(StringConvertor):
    regex = ORDER_ID


class IdConvertor(StringConvertor):
    regex = "[1-9][0-9]{0,8}"  # what fits a database's integer


class Deed(Route):
    """A GET that does something: whoever only looks ahead of it (HEAD) is refused."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, name: str) -> None:
        super().__init__(path, endpoint, name=name)
        self.methods = {"GET"}


register_url_convertor("order_id", OrderIdConvertor())
register_url_convertor("id", IdConvertor())

routes: list[BaseRoute] = [  # tried in turn: what programs ask for comes first
    Route("/api/openapi.json", api.openapi, name="openapi"),
    Route("/api/payment/prepare", api.prepare, methods=["POST"], name="api_prepare"),
    Route("/api/payment/complete", api.complete, methods=["POST"], name="api_complete"),
    Route("/api/payment/{order_id:order_id}", api.show, name="api_payment"),
    Route("/api/payment/{order_id:order_id}/refund", api.refund, methods=["POST"], name="api_refund"),
    Route("/api/admin/payments", api.index, name="api_payments"),
    Route("/", shop.index, name="shop"),
    Route("/prompts/{id:id}", shop.show, name="prompt"),
    Route("/register", sessions.register, methods=["GET", "POST"], name="register"),
    Route("/login", sessions.login, methods=["GET", "POST"], name="login"),
    Route("/logout", sessions.logout, methods=["POST"], name="logout"),
    Route("/payments", checkout.create, methods=["POST"], name="payments"),
    Route("/payments/new", checkout.new, name="new_payment"),
    Route("/payments/{order_id:order_id}", checkout.show, name="payment"),
    Deed("/payments/{order_id:order_id}/window", checkout.window, name="payment_window"),
    Deed("/payments/{order_id:order_id}/return", checkout.come_back, name="payment_return"),
    Route("/payments/{order_id:order_id}/cancel", checkout.cancel, methods=["POST"], name="payment_cancel"),
    Route("/payments/{order_id:order_id}/pleas", checkout.plead, methods=["POST"], name="pleas"),
    Route("/purchases", library.index, name="purchases"),
    Route("/admin", overview.index, name="admin_overview"),
    Route("/admin/payments", admin.index, name="admin_payments"),
    Route("/admin/payments/counts", admin.count, name="admin_counts"),
    Deed("/admin/payments/live", admin.live, name="admin_live"),
    Route("/admin/payments/export", exports.new, name="new_export"),
    Deed("/admin/payments.csv", exports.as_csv, name="admin_export"),
    Deed("/admin/payments.xlsx", exports.as_xlsx, name="admin_export_xlsx"),
    Route("/admin/payments/{order_id:order_id}", record.show, name="admin_payment"),
    Route("/admin/payments/{order_id:order_id}/cancel", refunding.cancel, methods=["POST"], name="admin_cancel"),
    Route("/admin/payments/{order_id:order_id}/refunds/new", refunding.new_refund, name="new_refund"),
    Route("/admin/payments/{order_id:order_id}/refunds", refunding.create_refund, methods=["POST"], name="refunds"),
    Route("/admin/payments/{order_id:order_id}/notes", record.add_note, methods=["POST"], name="notes"),
    Route("/admin/payments/{order_id:order_id}/reveal", record.reveal, methods=["POST"], name="reveal"),
    Route("/admin/payments/{order_id:order_id}/pleas/{id:id}", record.decline_plea, methods=["POST"], name="plea"),
    Route("/admin/views", views.index, name="views"),
    Route("/admin/views/new", views.save, methods=["POST"], name="save_view"),
    Route("/admin/views/{id:id}/delete", views.delete, methods=["POST"], name="delete_view"),
    Route("/admin/approvals", approvals.index, name="approvals"),
    Route("/admin/approvals/{id:id}", approvals.decide, methods=["POST"], name="approval"),
    Route("/admin/bulk-refunds", bulk.index, name="bulk_jobs"),
    Route("/admin/bulk-refunds/new", bulk.draw_up, methods=["POST"], name="bulk_refunds"),
    Route("/admin/bulk-refunds/matching", bulk.matching, name="bulk_matching"),
    Route("/admin/bulk-refunds/{id:id}", bulk.show, name="bulk_job"),
    Route("/admin/bulk-refunds/{id:id}/start", bulk.start, methods=["POST"], name="bulk_start"),
    Route("/admin/bulk-refunds/{id:id}/retry", bulk.retry, methods=["POST"], name="bulk_retry"),
    Route("/admin/bulk-refunds/{id:id}/result.csv", bulk.result, name="bulk_result"),
    Route("/admin/reconciliation", reconciliation.index, name="admin_reconciliation"),
    Route("/admin/reconciliation/{order_id:order_id}", reconciliation.repair, methods=["POST"], name="admin_repair"),
    Route("/admin/webhooks", reconciliation.webhooks, name="admin_webhooks"),
    Route("/admin/webhooks/{id:id}", reconciliation.replay, methods=["POST"], name="admin_replay"),
    Route("/webhooks/{gateway}", webhooks.hear, methods=["POST"], name="webhook"),
    Route("/healthz", operations.healthz, name="healthz"),
    Route("/readyz", operations.readyz, name="readyz"),
    Mount("/static", StaticFiles(directory=STATIC), name="static"),
]

PATHS = {route.name: route.path_format for route in routes if isinstance(route, Route)}


def path_for(name: str, /, **parts: object) -> str:
    """Router.url_path_for asks every route in turn, which for a page of links takes longer than all else together."""
    return PATHS[name].format(**parts)


environment.globals.update(path_for=path_for, gateway_label=gateway_label, method_label=method_label)
