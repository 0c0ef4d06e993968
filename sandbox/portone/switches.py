"""What pg/portone.md leaves open (its §19), what is set in PortOne's console, and what goes wrong with webhooks."""

from sandbox.switches import Switch

SWITCHES = (
    Switch("portone_manual_confirm", False, "the channel's money moves only at POST …/confirm", "§7"),
    Switch("portone_channel_type", "TEST", "channel.type", "§4", ("TEST", "LIVE")),
    Switch("portone_pg", "TOSSPAYMENTS", "channel.pgProvider; KAKAOPAY takes only EASY_PAY", "§6"),
    Switch("portone_store_default", "found", "a look-up without storeId", "§2", ("found", "not_found")),
    Switch("portone_return_key", "paymentId", "how the redirect names the payment", "§6", ("paymentId", "payment_id")),
    Switch("portone_return_query", "full", "the redirect's other fields", "§19", ("full", "minimal")),
    Switch("portone_error_messages", True, "errors carry a message", "§19"),
    Switch("portone_times", "nanoseconds", "precision of times", "§2", ("nanoseconds", "seconds")),
    Switch("portone_paid_after_cancel", "kept", "amount.paid after a cancellation", "§19", ("kept", "reduced")),
    Switch("portone_cancellations", "oldest", "which cancellation comes first", "§19", ("oldest", "newest")),
    Switch("portone_method_before_paid", "shown", "method of READY and FAILED payments", "§19", ("shown", "omitted")),
    Switch(
        "portone_account_over",
        "CANCELLED",
        "status once a virtual account is closed or expired",
        "§19",
        ("CANCELLED", "FAILED", "VIRTUAL_ACCOUNT_ISSUED"),
    ),
    Switch("portone_refund_without_account", "INVALID_REQUEST", "deposit cancelled without refundAccount", "§8"),
    Switch("portone_cancel_waits", False, "cancellations stay REQUESTED until POST /portone/_settle/…", "§4"),
    Switch("portone_token_minutes", 10, "life of a paymentToken", "§7"),
    Switch("portone_unquoted_key", "refuse", "an Idempotency-Key without quotes", "§19", ("refuse", "accept")),
    Switch("portone_key_reused", "replay", "the same key with another body", "§19", ("replay", "refuse")),
    Switch("portone_webhook_version", "2024-04-25", "shape of webhooks", "§9", ("2024-04-25", "2024-01-01")),
    Switch(
        "portone_webhook_signature",
        "right",
        "how webhooks are signed; rotating needs two secrets",
        "§9",
        ("right", "wrong", "missing", "rotating"),
    ),
    Switch("portone_webhook_age", 0, "seconds by which webhook-timestamp lies in the past", "§9"),
    Switch(
        "portone_webhook_order", "as_it_was", "an event overtakes the one before it", "§9", ("as_it_was", "swapped")
    ),
    Switch("portone_webhook_success", "2xx", "what counts as heard", "§19", ("2xx", "200")),
)
