"""The mutants of the money core: by cosmic-ray, one place changed in each."""

import ast
import difflib
import hashlib
import importlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any

import parso
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code

from app.config import ROOT

CORE = (
    "models.py",
    "orders.py",
    "payments.py",
    "gateways/toss.py",
    "folder.py",
    "receipts.py",
    "refunds.py",
    "settlement.py",
)
# One of each kind a line: `+` may become `-`, it need not become twelve things. Annotations are no behaviour.
ONE_OF_EACH = ("ReplaceBinaryOperator_", "ReplaceComparisonOperator_", "ReplaceUnaryOperator_")
LEFT_OUT = ("ReplaceBinaryOperator_BitOr", "core/RemoveDecorator", "ExceptionReplacer")

Statement = ast.stmt | ast.excepthandler
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Mutant:
    file: str
    source: str
    """Of the whole file, changed."""
    line: int
    change: str
    function: str
    """Around it, with its class; "" when the line runs at import."""
    lines: range
    """Of the statement; of what runs at import, those of the whole function or file."""

    def __str__(self) -> str:
        return f"{self.file} {self.function}: {self.change}" if self.function else f"{self.file}: {self.change}"

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.file}\n{self.source}".encode()).hexdigest()

    def put_in(self) -> None:
        """Gives the function of this process, which everyone has imported already, the changed code."""
        module = importlib.import_module("app." + self.file.removesuffix(".py").replace("/", "."))
        code, place = compile(self.source, str(module.__file__), "exec"), dict[str, Any](vars(module))
        for name in self.function.split("."):
            code = next(part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name)
            found = place[name]
            place = dict(vars(found))
        for layer in ("fget", "__func__", "__wrapped__"):
            found = getattr(found, layer, found)
        found.__code__ = code


def mutants(file: str) -> Iterator[Mutant]:
    source = (ROOT / "app" / file).read_text("utf-8")
    if file == "models.py":
        yield from moves(file, source)
        return
    seen, nodes = set[str](), list(ast_nodes(parso.parse(source)))
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if kind.arguments() or any(word in name for word in LEFT_OUT):
            continue
        operator = kind()
        positions = [(node, place) for node in nodes for place in operator.mutation_positions(node)]
        for number, (node, ((line, _), _)) in enumerate(positions):
            sort = next((word for word in ONE_OF_EACH if word in name), f"{name} {number}")
            if (place := f"{line} {sort}") in seen or node.parent.type == "parameters":  # its `*` is no operator
                continue
            changed = mutate_code(source, operator, number)
            if changed not in (None, source) and compiles(changed):
                seen.add(place)
                yield changed_to(file, source, changed)


def moves(file: str, source: str) -> Iterator[Mutant]:
    """Every state in the table of moves, taken for another. The rest of the models is held by the migrations."""
    start, end = (source.index(mark) for mark in ("MOVES: dict", "# Seconds between"))
    for found in re.finditer(r"Status\.[A-Z_]+", source[start:end]):
        other = "Status.REFUNDED" if found[0] != "Status.REFUNDED" else "Status.PENDING"
        yield changed_to(file, source, source[: start + found.start()] + other + source[start + found.end() :])


def compiles(source: str) -> bool:
    with suppress(SyntaxError):
        ast.parse(source)
        return True
    return False


def changed_to(file: str, before: str, after: str) -> Mutant:
    hunk, *lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    number = int(hunk.split()[1].lstrip("-").split(",")[0])
    change = " → ".join(" ".join(line[1:].split()) for line in lines)
    *outer, inner = (node for node in statements(before) if first(node) <= number <= (node.end_lineno or number))
    function = function_of(outer)
    start, end = inner.lineno, (inner.end_lineno or number) + 1
    if function and (body := getattr(inner, "body", None)):
        end = body[0].lineno
    elif not function and not isinstance(inner, Function):
        start, end = 1, len(before.splitlines()) + 1
    return Mutant(file, after, number, change, function, range(start, end))


@cache
def statements(source: str) -> list[Statement]:
    """Those around others come first."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, Statement)]


def function_of(outer: Sequence[ast.AST]) -> str:
    names = []
    for node in outer:
        if isinstance(node, ast.ClassDef | Function):
            names.append(node.name)
        if isinstance(node, Function):
            return ".".join(names)
    return ""


def first(node: Statement) -> int:
    return min((decorator.lineno for decorator in getattr(node, "decorator_list", ())), default=node.lineno)
