"""Who is calling: HTTP Basic with the secret key and a colon (pg/toss.md §2.1)."""

import base64
import binascii
import re

from starlette.requests import Request
from starlette.responses import Response

from sandbox.toss.errors import Refused, refusal
from sandbox.toss.store import Toss

# Old samples still show _ak_ secrets.
SECRET = re.compile(r"(test|live)_(g?sk|ak)_\w{3,}", re.ASCII)
WELL_FORMED = re.compile(r"[\w\-.]+", re.ASCII)


def merchant(request: Request, toss: Toss) -> str:
    """The caller's secret key."""
    header = request.headers.get("authorization")
    if not header:
        raise Refused(toss.world.switches.text("no_authorization_code"))
    secret, colon, password = decode(header).partition(":")
    if not WELL_FORMED.fullmatch(secret):
        raise Refused("INVALID_API_KEY")
    if not colon:
        raise Refused("INCORRECT_BASIC_AUTH_FORMAT")
    if password or not SECRET.fullmatch(secret) or not toss.secret_known(secret):
        raise Refused("UNAUTHORIZED_KEY")
    return secret


def decode(header: str) -> str:
    scheme, _, encoded = header.partition(" ")
    encoded = encoded.strip().rstrip("=")
    if scheme.lower() != "basic" or not encoded:
        raise Refused("INVALID_API_KEY")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Refused("INVALID_API_KEY") from None


def refuse(toss: Toss, code: str) -> Response:
    colon = code == "INCORRECT_BASIC_AUTH_FORMAT"
    return refusal(code, int(toss.world.switches.number("no_colon_status")) if colon else None)
