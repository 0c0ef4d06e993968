"""Where a fact sheet is silent the code had to choose; every such choice is a switch that a test can turn."""

from dataclasses import dataclass
from typing import Any

Value = str | int | float | bool


@dataclass(frozen=True)
class Switch:
    name: str
    default: Value
    doc: str
    section: str
    choices: tuple[Value, ...] = ()

    def check(self, value: object) -> Value:
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} is one of {', '.join(map(str, self.choices))}")
        if isinstance(self.default, bool) or isinstance(value, bool):
            if not (isinstance(self.default, bool) and isinstance(value, bool)):
                raise ValueError(f"{self.name} is not a {type(value).__name__}")
            return value
        if isinstance(self.default, int | float) and isinstance(value, int | float) and value >= 0:
            return value
        if isinstance(self.default, str) and isinstance(value, str):
            return value
        raise ValueError(f"{self.name} is not {value!r}")


class Switches:
    def __init__(self) -> None:
        self.known: dict[str, Switch] = {}
        self.turned: dict[str, Value] = {}

    def add(self, *switches: Switch) -> None:
        self.known.update({switch.name: switch for switch in switches})

    def turn(self, wanted: dict[str, Any]) -> None:
        if unknown := wanted.keys() - self.known.keys():
            raise ValueError(f"no such switch: {', '.join(sorted(unknown))}")
        self.turned |= {name: self.known[name].check(value) for name, value in wanted.items()}

    def reset(self) -> None:
        self.turned.clear()

    def _value(self, name: str) -> Value:
        return self.turned.get(name, self.known[name].default)

    def text(self, name: str) -> str:
        return str(self._value(name))

    def number(self, name: str) -> float:
        return float(self._value(name))

    def on(self, name: str) -> bool:
        return self._value(name) is True

    def shown(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "value": self._value(name),
                "default": switch.default,
                "choices": list(switch.choices),
                "doc": switch.doc,
                "section": switch.section,
            }
            for name, switch in self.known.items()
        ]
