"""Korean VAT as every PG reckons it."""


def vat(amount: int) -> int:
    """Whole won of VAT inside `amount`: an eleventh, half a won up."""
    return (amount * 2 + 11) // 22
