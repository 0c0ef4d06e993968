"""What a driver may set: where webhooks go, which key pairs exist; by environment first, by PUT /_settings later."""

import os
from collections.abc import Callable
from typing import Any


class Settings:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.toss_webhook_url = os.environ.get("SANDBOX_TOSS_WEBHOOK_URL", "")
        self.toss_keys = pairs(os.environ.get("SANDBOX_TOSS_KEYS", ""))
        self.portone_webhook_url = os.environ.get("SANDBOX_PORTONE_WEBHOOK_URL", "")
        self.portone_webhook_secrets = secrets(os.environ.get("SANDBOX_PORTONE_WEBHOOK_SECRET", ""))
        self.portone_v1_webhook_url = os.environ.get("SANDBOX_PORTONE_V1_WEBHOOK_URL", "")
        self.portone_v1_keys = pairs(os.environ.get("SANDBOX_PORTONE_V1_KEYS", ""))
        self.portone_api_secret = os.environ.get("SANDBOX_PORTONE_API_SECRET", "")

    def change(self, wanted: dict[str, Any]) -> None:
        checks: dict[str, Callable[[object], Any]] = {"toss_webhook_url": text, "toss_keys": pairs}
        checks |= {"portone_webhook_url": text, "portone_webhook_secrets": secrets, "portone_api_secret": text}
        checks |= {"portone_v1_webhook_url": text, "portone_v1_keys": pairs}
        if unknown := wanted.keys() - checks.keys():
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
        for name, value in {name: checks[name](value) for name, value in wanted.items()}.items():
            setattr(self, name, value)

    def shown(self) -> dict[str, Any]:
        """Secrets stay inside."""
        return {
            "toss_webhook_url": self.toss_webhook_url,
            "toss_client_keys": list(self.toss_keys),
            "portone_webhook_url": self.portone_webhook_url,
            "portone_v1_webhook_url": self.portone_v1_webhook_url,
        }


def text(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError("expected a string")
    return value or ""


def secrets(value: object) -> list[str]:
    """Webhook secrets, at most two at a time: "whsec_…,whsec_…". The first signs unless both shall."""
    found = [secret.strip() for secret in text(value).split(",") if secret.strip()]
    if len(found) > 2 or not all(secret.startswith("whsec_") for secret in found):
        raise ValueError("expected one or two secrets that begin with whsec_")
    return found


def pairs(value: object) -> dict[str, str]:
    """Client key to secret key, from "ck:sk,ck2:sk2" or {"ck": "sk"}."""
    if isinstance(value, dict):
        return {str(client): str(secret) for client, secret in value.items()}
    if isinstance(value, list):
        value = ",".join(map(str, value))
    halves = [pair.strip().split(":") for pair in text(value).split(",") if pair.strip()]
    if any(len(half) != 2 for half in halves):
        raise ValueError("expected client:secret pairs")
    return {half[0]: half[1] for half in halves}
