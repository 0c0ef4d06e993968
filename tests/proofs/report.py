"""What a proof answers: what was done, how often, and what went wrong (nothing)."""

from dataclasses import dataclass, field


@dataclass
class Report:
    name: str
    seed: int
    counts: dict[str, int] = field(default_factory=dict)  # e.g. {"crash points": 44, "schedules": 10000, "lost": 0}
    wrong: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
