"""A picture that looks like a QR code. It holds no code: there is no phone to read it."""

import hashlib

SIDE = 25


def squares(text: str) -> str:
    """An SVG path of the dark squares, always the same for the same text."""
    bits = int.from_bytes(hashlib.shake_256(text.encode()).digest(SIDE * SIDE // 8 + 1))
    dark = {(x, y) for x in range(SIDE) for y in range(SIDE) if bits >> (x * SIDE + y) & 1}
    for left, top in ((0, 0), (SIDE - 7, 0), (0, SIDE - 7)):
        eye = {(left + x, top + y): max(abs(x - 3), abs(y - 3)) for x in range(-1, 8) for y in range(-1, 8)}
        dark -= eye.keys()
        dark |= {place for place, ring in eye.items() if ring in (0, 1, 3)}
    return "".join(f"M{x} {y}h1v1h-1z" for x, y in sorted(dark))
