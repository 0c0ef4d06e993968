"""What pg/kakaopay.md leaves open, and what this sandbox does about it."""

from sandbox.switches import Switch

CHECKS = "tid,cid,expired,approved,authenticated,ids,token,amount"

SWITCHES = (
    Switch("cids", "TC0ONETIME", "the cids that exist, with commas", "§2"),
    Switch("dev_key_may_approve", True, "false: approve with a DEV… key answers -401", "§2, §13"),
    Switch("error_message", "", "the error_message of codes whose real one is not known", "§13"),
    Switch("common_status", "mirror", "HTTP status of -400, -403 … -503: the number, or 400", "§13", ("mirror", "400")),
    Switch("invalid_param_code", "-2", "a missing or misshapen field", "§10.1"),
    Switch("wrong_cid_code", "-731", "an unknown cid, or another than at ready", "§10.1"),
    Switch("registered_domains", "", "with commas, * allowed; empty: every domain is", "§2"),
    Switch("unregistered_domain_code", "-799", "ready with a URL of another domain", "§13"),
    Switch("domain_check", "ready", "where the domain is checked", "§13", ("ready", "ready_and_return")),
    Switch("payment_limit", 2_000_000, "whole won of one payment; 0: none (-797)", "§8"),
    Switch("pg_token_length", 20, "letters of a pg_token", "§13"),
    Switch("pg_token_letters", "hex", "its alphabet", "§13", ("hex", "alnum")),
    Switch("return_query", "", "a query that cancel_url and fail_url get", "§13"),
    Switch("return_fragment", "last", "pg_token before or (naive) after a #fragment", "§13", ("last", "naive")),
    Switch("absent_fields", "null", "fields without a value", "§6", ("null", "omit")),
    Switch("approve_checks", CHECKS, "what approve checks, in this order", "§13"),
    Switch("approve_again_code", "-702", "approve of an approved tid", "§13", ("-702", "-783", "-785")),
    Switch("approve_twice_code", "-785", "approve while another one runs", "§13", ("-785", "-702", "-783")),
    Switch("user_locked_status", "AUTH_PASSWORD", "after -780 USER_LOCKED", "§11", ("AUTH_PASSWORD", "FAIL_PAYMENT")),
    Switch("bank_unknown_seconds", 1200, "from -780 BANK_FIRM_UNKNOWN to SUCCESS_PAYMENT", "§10.3"),
    Switch(
        "expired_order_status",
        "as_it_was",
        "order of an expired tid",
        "§7, §13",
        ("as_it_was", "QUIT_PAYMENT", "FAIL_PAYMENT", "-721"),
    ),
    Switch("unpaid_order", "full", "order before a payment: with amounts or without", "§13", ("full", "bare")),
    Switch("action_amounts", "given", "payment_action_details have an amount", "§7", ("given", "missing")),
    Switch("wrong_cancel_vat_code", "-722", "cancel_vat_amount does not fit what is left", "§13"),
    Switch("wrong_cancel_available_code", "-722", "cancel_available_amount is not what is left", "§13"),
)
