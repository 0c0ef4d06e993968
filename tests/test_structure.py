"""The walls of the house: who may know whom, read from the imports; and sizes, as a mirror."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from app.config import ROOT

OURS = {"app", "sandbox", "tests", "benchmarks", "run"}
FUNCTION_LINES, FILE_LINES = 70, 350

# What a module may know of the house, when it is little. A name stands for itself and for all that is below it.
KNOWS: dict[str, set[str]] = {
    "app.clock": set(),
    "app.config": set(),
    "app.models": {"app.clock", "app.order_id", "app.roles"},
    "app.order_id": set(),
    "app.roles": set(),
    "app.desk": {"app.clock", "app.models"},
    "app.spoken": {"app.clock"},
    "app.gateways": {"app.clock", "app.config", "app.models", "app.order_id", "app.spoken", "app.gateways"},
    "app.db": {"app.together"},
    "app.migrate": {"app.config"},
    "app.forms": set(),
    "app.lines": set(),
    "app.together": set(),
    "app.render": {"app.clock"},
}
# Those that see a request, and those who start things. Everyone else could be used without a web server.
WEB_NAMES = (
    "auth conditions counts exports filters forms guard live main openapi problems render routes schemas search streams"
)
WEB = tuple(f"app.{name}" for name in WEB_NAMES.split())
STARTERS = ("app.__main__", "app.demo")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for folder in ("app", "sandbox") for path in sorted((ROOT / folder).rglob("*.py"))}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """Everything that a module imports, wherever in it; `from app import x` is `app.x` when that is a module."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(tree(FILES[module])):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import hides who is meant"
            source = node.module or ""
            for name in node.names:
                inner = f"{source}.{name.name}"
                yield inner if inner in FILES else source


def within(module: str, *houses: str) -> bool:
    return any(module == house or module.startswith(f"{house}.") for house in houses)


def test_the_reader_of_imports_reads_all_of_them() -> None:
    """A reader that finds nothing would let everything pass."""
    assert {"app.receipts", "app.till", "logging"} <= imports("app.payments")
    assert "app.routes.shop" in imports("app.routes")
    assert len(FILES) > 40


# ── walls ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("house", KNOWS)
def test_who_knows_little_of_the_house_knows_no_more(house: str) -> None:
    members = [module for module in FILES if within(module, house)]
    assert members
    known = {(module, it) for module in members for it in imports(module) if within(it, *OURS)}
    assert not {(module, it) for module, it in known if not within(it, *KNOWS[house])}


MONEY = [module for module in FILES if within(module, "app") and not within(module, *STARTERS, *WEB)]


@pytest.mark.parametrize("module", MONEY)
def test_who_moves_money_sees_no_request_and_draws_nothing(module: str) -> None:
    assert {"app.payments", "app.receipts", "app.refunds", "app.till", "app.models", "app.gateways.toss"} <= set(MONEY)
    web = {it for it in imports(module) if within(it, "starlette", "jinja2", *WEB)}
    assert web <= ({"starlette.config", "starlette.datastructures"} if module == "app.config" else set())


@pytest.mark.parametrize("module", [module for module in FILES if within(module, "app.gateways")])
def test_a_gateway_sees_no_database(module: str) -> None:
    """It gets a Payment and returns a Receipt."""
    assert not {it for it in imports(module) if within(it, "sqlalchemy", "sqlmodel", "aiosqlite", "asyncpg")}


@pytest.mark.parametrize("module", FILES)
def test_app_and_sandbox_meet_only_over_http(module: str) -> None:
    strangers = {"app": "sandbox", "sandbox": "app"}[module.partition(".")[0]]
    assert not {it for it in imports(module) if within(it, strangers, "tests")}


CONCRETE = {module for module in FILES if module.startswith("app.gateways.")}


@pytest.mark.parametrize(
    "module", [module for module in FILES if within(module, "app") and not within(module, "app.demo")]
)
def test_nobody_knows_a_concrete_gateway(module: str) -> None:
    """They register themselves; a new one touches no other. (The demo's made-up history is Toss's.)"""
    assert "app.gateways.toss" in CONCRETE
    own = ".".join(module.split(".")[:3])  # a gateway of several files knows its own
    assert not {it for it in imports(module) & CONCRETE if not within(it, own)}


def test_only_the_gateways_and_their_pretend_pgs_are_found_by_name() -> None:
    """An import made of text would pass these walls unseen."""
    assert {module for module in FILES if {"importlib", "pkgutil", "runpy"} & imports(module)} == {
        "app.gateways",
        "sandbox.main",
    }


def test_only_the_front_door_knows_the_routes() -> None:
    knowing = {module for module in FILES if any(within(it, "app.routes") for it in imports(module))}
    assert {module for module in knowing if not within(module, "app.routes")} == {"app.main"}


def test_only_the_command_line_knows_the_front_door() -> None:
    assert {module for module in FILES if "app.main" in imports(module)} == {"app.__main__"}


def test_nothing_is_imported_in_a_circle() -> None:
    circles, done = [], set[str]()

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            circles.append((*path[path.index(module) :], module))
        elif module not in done:
            for it in sorted(imports(module) & FILES.keys()):
                walk(it, (*path, module))
            done.add(module)

    for module in FILES:
        walk(module, ())
    assert not circles


def test_run_py_needs_nothing_but_python() -> None:
    """It is what installs the rest."""
    nodes = list(ast.walk(tree(ROOT / "run.py")))
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "subprocess" in names
    assert not {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}


def test_the_folder_of_migrations_does_not_shadow_the_package() -> None:
    assert (ROOT / "alembic" / "versions").is_dir()
    assert not list((ROOT / "alembic").rglob("__init__.py"))


TEMPLATES = [path for folder in ("app", "sandbox") for path in sorted((ROOT / folder / "templates").rglob("*.html"))]


@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if within(name_of(path), "app")], ids=lambda path: str(path.name)
)
def test_templates_write_no_address_themselves(path: Path) -> None:
    """An address comes from path_for or static, by the route's name."""
    written = re.findall(r'(?:href|src|action|hx-[a-z:]+)\s*=\s*["\'](?:/|https?:)[^"\']*', path.read_text())
    assert not written


def test_modules_are_named_after_what_they_are_about() -> None:
    nothing = {"utils", "util", "helpers", "helper", "manager", "service", "services", "base", "data", "info", "common"}
    assert not {module for module in FILES if set(module.split(".")) & nothing}


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("module", FILES)
def test_a_file_can_be_read_in_one_sitting(module: str) -> None:
    assert len(FILES[module].read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("module", FILES)
def test_a_function_can_be_seen_at_once(module: str) -> None:
    functions = [
        node for node in ast.walk(tree(FILES[module])) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {
        node.name: lines for node in functions if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert not long
