"""What a merchant's server asks for, field by field (pg/kakaopay.md §4, §6-§8)."""

import json
import re
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from sandbox.kakaopay.errors import Refused
from sandbox.switches import Switches

METHODS = ("CARD", "MONEY")
CARDS = set("SHINHAN KB HYUNDAI LOTTE SAMSUNG NH BC HANA CITI KAKAOBANK KAKAOPAY WOORIONLY".split())


class Asked:
    """A JSON body, read by the sheet's rules. Numbers may come as strings, as in the official samples."""

    def __init__(self, body: dict[str, Any], switches: Switches) -> None:
        self.body, self.switches = body, switches

    @classmethod
    async def read(cls, request: Request, switches: Switches) -> "Asked":
        """An unreadable body counts as an empty one: its fields are missing."""
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            body = {}
        return cls(body if isinstance(body, dict) else {}, switches)

    def wrong(self, name: str) -> Refused:
        return Refused(self.switches.text("invalid_param_code"), message=f"invalid param({name} has invalid value)")

    def text(self, name: str, most: int) -> str:
        value = self.body.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= most:
            raise self.wrong(name)
        return value

    def maybe_text(self, name: str, most: int) -> str | None:
        return None if self.body.get(name) in (None, "") else self.text(name, most)

    def number(self, name: str, least: int = 0, most: int = 10**9) -> int:
        value = self.body.get(name)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name)
        return value

    def maybe_number(self, name: str, most: int = 10**9) -> int | None:
        return None if self.body.get(name) is None else self.number(name, most=most)

    def one_of(self, name: str, words: tuple[str, ...]) -> str | None:
        value = self.body.get(name)
        if value is not None and value not in words:
            raise self.wrong(name)
        return value

    def cid(self) -> str:
        cid = self.text("cid", 10)
        self.maybe_text("cid_secret", 24)
        if cid not in self.switches.text("cids").split(","):
            raise wrong_cid(self.switches)
        return cid

    def url(self, name: str) -> str:
        url = self.text(name, 255)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or re.search(r"\s", url):
            raise self.wrong(name)
        if not registered(url, self.switches):
            raise Refused(self.switches.text("unregistered_domain_code"))
        return url

    def check_extras(self) -> None:
        """Fields that change nothing here, and must be well-formed nevertheless."""
        cards, custom = self.body.get("available_cards"), self.body.get("custom_json")
        if cards is not None and not (isinstance(cards, list) and {*map(str, cards)} <= CARDS):
            raise self.wrong("available_cards")
        if custom is not None and not isinstance(custom, dict):
            raise self.wrong("custom_json")
        self.one_of("use_share_installment", ("Y", "N"))


def wrong_cid(switches: Switches) -> Refused:
    return Refused(switches.text("wrong_cid_code"), message="invalid param(cid has invalid value)")


def registered(url: str, switches: Switches) -> bool:
    """Domains are registered with their scheme and without a path; http and https are two entries (§2)."""
    parts, domains = urlsplit(url), switches.text("registered_domains")
    origin = f"{parts.scheme}://{parts.netloc}"
    return not domains or any(fnmatchcase(origin, domain.strip()) for domain in domains.split(","))
