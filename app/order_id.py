"""The number of an order: ours to make, and to tell from whatever else a PG or a browser brings."""

import secrets
import string

ORDER_ID = "[A-Za-z0-9]{20,32}"
LETTERS = string.ascii_letters + string.digits


def new_order_id() -> str:
    """24 letters and digits, 142 bits: unguessable, and legal as an order number at every PG."""
    fair = 256 - 256 % len(LETTERS)  # bytes from here on would make some letters likelier than others
    letters = [LETTERS[byte % len(LETTERS)] for byte in secrets.token_bytes(48) if byte < fair]
    return "".join(letters[:24]) if len(letters) >= 24 else new_order_id()
