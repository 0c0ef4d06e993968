"""What pg/toss.md leaves open, and what this sandbox does about it."""

from sandbox.switches import Switch

SWITCHES = (
    Switch(
        "lookup_before_confirm", "visible", "GET of READY and IN_PROGRESS payments", "§9.3", ("visible", "not_found")
    ),
    Switch(
        "order_lookup",
        "approved_first",
        "GET by orderId when several payments share it",
        "§9.3",
        ("approved_first", "newest"),
    ),
    Switch("amount_mismatch_code", "INVALID_REQUEST", "confirm with another amount", "§9.1"),
    Switch("missing_field_code", "INVALID_REQUEST", "missing or null body fields", "§9.1"),
    Switch("string_amount", "accept", "amount as a JSON string", "§2.1", ("accept", "refuse")),
    Switch("unauthenticated_code", "NOT_FOUND_PAYMENT_SESSION", "confirm of a READY payment", "§4.3"),
    Switch("confirm_after_abort", "ALREADY_PROCESSED_PAYMENT", "code of a confirm after ABORTED, or retry", "§9.4"),
    Switch(
        "duplicate_order",
        "confirm",
        "where a second payment of an approved order is refused",
        "§9.4",
        ("confirm", "open", "never"),
    ),
    Switch("no_authorization_code", "UNAUTHORIZED_KEY", "no Authorization header", "§9.2"),
    Switch("no_colon_status", 403, "status of INCORRECT_BASIC_AUTH_FORMAT", "§9.2", (403, 401)),
    Switch("unknown_test_code", "INVALID_TEST_CODE", "an unknown TossPayments-Test-Code", "§2.3"),
    Switch("payment_type_in_redirect", True, "payment() adds paymentType to successUrl", "§9.6"),
    Switch("redirect_encoding", "plus", "spaces in redirect queries: + or %20", "§9.6", ("plus", "percent")),
    Switch("window_decline_status", "ABORTED", "status after a decline at the window", "§3.2", ("ABORTED", "READY")),
    Switch("secret_on_aborted", False, "ABORTED payments keep their secret", "§9.9"),
    Switch("card_discount_amount", False, "cancels[] have cardDiscountAmount", "§9.9"),
    Switch(
        "refund_without_account_code", "INVALID_REFUND_ACCOUNT_INFO", "paid virtual account, no refund account", "§9.10"
    ),
    Switch("cancel_row_sign", "positive", "amount of a cancel in /v1/transactions", "§2.4", ("positive", "negative")),
    Switch("content_type", "application/json", "Content-Type of answers", "§9.9"),
    Switch("api_version", "2022-11-16", "Payment.version", "§0.3"),
    Switch("mid", "tvivarepublica", "Payment.mId", "§3.1"),
    Switch("receipt_links", "sandbox", "whose receipt page Payment.receipt.url names", "§3.1", ("sandbox", "toss")),
    Switch("transmission_id", "stable", "transmission id across re-sends", "§9.8", ("stable", "fresh")),
    Switch("webhook_success", "200", "what counts as heard", "§9.8", ("200", "2xx")),
    Switch("webhook_minute_seconds", 60, "seconds in a minute of the re-send schedule", "§5.1"),
    Switch("webhook_timeout_seconds", 10, "how long a webhook waits for its answer", "§5.1"),
    Switch("webhook_copies", 1, "how often each webhook is sent (duplicates occur)", "§5.1"),
    Switch(
        "deposit_events",
        "both",
        "events of a virtual account",
        "§5.3",
        ("both", "DEPOSIT_CALLBACK", "PAYMENT_STATUS_CHANGED"),
    ),
)
