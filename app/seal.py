"""What must survive a don't-know and be read by nobody: the account that an open refund goes to."""

import base64
import json

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.config import Settings
from app.gateways import RefundAccount


def seal(settings: Settings, account: RefundAccount) -> str:
    written = json.dumps([account.bank, account.number, account.holder])
    return _fernet(settings).encrypt(written.encode()).decode()


def unseal(settings: Settings, sealed: str) -> RefundAccount | None:
    """None when SECRET_KEY is another one than it was sealed with."""
    try:
        return RefundAccount(*json.loads(_fernet(settings).decrypt(sealed.encode())))
    except InvalidToken:
        return None


def _fernet(settings: Settings) -> Fernet:
    """A key of its own, so that it is of no use for session cookies, and theirs is of none here."""
    derived = HKDF(SHA256(), length=32, salt=None, info=b"refund account").derive(str(settings.secret_key).encode())
    return Fernet(base64.urlsafe_b64encode(derived))
