"""What an admin may do."""

from enum import StrEnum


class Permission(StrEnum):
    REFUND = "refund"
    NOTE = "note"
    MEND = "mend"  # ask the PG anew, and handle a webhook again
    REVEAL = "reveal"  # see a buyer's name, number and address unmasked, one payment at a time
    EXPORT = "export"  # take the whole list away


class Role(StrEnum):
    """What an admin may do; who is no admin has none, whatever stands here."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"


ALLOWED = {
    Role.VIEWER: frozenset[Permission](),
    Role.OPERATOR: frozenset(Permission) - {Permission.EXPORT},
    Role.OWNER: frozenset(Permission),
}
