"""The templates as they are written: every address, target and id fits, and nothing needs an inline script.

Each file is flattened first: its branches stand side by side, a `path_for` becomes an address of that route, and any
other `{{ … }}` becomes ◦. So `payment-{{ payment.order_id }}` is `payment-◦` wherever it is named.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from jinja2 import meta, nodes
from starlette.routing import Match, NoMatchFound, Route, Router

from app.config import ROOT
from app.render import STATIC, environment
from app.routes import routes
from tests.fragments import soup

HERE = ROOT / "app" / "templates"
NAMES = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.html"))
MACROS = {"_choice.html", "_field.html", "_filter.html", "_status.html"}
FRAGMENTS = [name for name in NAMES if Path(name).name.startswith("_") and name not in MACROS]
PAGES = [name for name in NAMES if not Path(name).name.startswith("_") and name != "layout.html"]
SAMPLES = {"order_id": "A" * 24, "id": 1, "gateway": "toss"}
ANY = "◦"
ELSEWHERE = {"payment.receipt_url"}
"""Addresses that are not ours: the PG's."""


def path_for(name: str, /, **samples: object) -> str:
    """Raises NoMatchFound."""
    return str(Router(routes).url_path_for(name, **samples))


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@cache
def parsed(name: str) -> nodes.Template:
    return environment.parse(source(name))


@cache
def flat(name: str) -> BeautifulSoup:
    return soup("".join(_flatten(name)))


def _flatten(name: str) -> Iterator[str]:
    expression: list[str] | None = None
    hidden = False
    for _, kind, value in environment.lex(source(name)):
        if kind == "variable_begin":
            expression = []
        elif kind == "variable_end":
            yield _shown("".join(expression or []).strip())
            expression = None
        elif expression is not None:
            expression.append(value)
        elif kind in ("block_begin", "comment_begin"):
            hidden = True
        elif kind in ("block_end", "comment_end"):
            hidden = False
        elif not hidden and kind == "data":
            yield value


def _shown(expression: str) -> str:
    if call := re.fullmatch(r"path_for\('(\w+)'(.*)\)", expression):
        samples = {word: SAMPLES.get(word, "") for word in re.findall(r"(\w+)=", call[2])}
        try:
            return path_for(call[1], **samples)
        except NoMatchFound:
            return f"no-route:{call[1]}"
    if call := re.fullmatch(r"static\('([^']+)'\)", expression):
        return f"/static/{call[1]}"
    return expression if expression in ELSEWHERE else ANY


def elements(selector: str) -> list[tuple[str, Tag]]:
    """Every such element in any template, with the template's name."""
    return [(name, tag) for name in NAMES for tag in flat(name).select(selector)]


def attributes() -> Iterator[tuple[str, Tag, str, str]]:
    for name, tag in elements("*"):
        for key, value in tag.attrs.items():
            yield name, tag, key, " ".join(value) if isinstance(value, list) else str(value)


def spelled(node: nodes.Node) -> str:
    """`"amount-" ~ id` as amount-◦."""
    if isinstance(node, nodes.Concat):
        return "".join(spelled(part) for part in node.nodes)
    return str(node.value) if isinstance(node, nodes.Const) else ANY


def fields() -> Iterator[tuple[str, dict[str, str]]]:
    """Every use of the macro in _field.html: the template, and what it says by name."""
    for name in NAMES:
        for call in parsed(name).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "field":
                said = {word.key: spelled(word.value) for word in call.kwargs}
                yield name, {"id": spelled(call.args[0])} | said


IDS = {value for _, _, key, value in attributes() if key == "id"} | {said["id"] for _, said in fields()}


def test_the_reader_of_templates_reads_them() -> None:
    """A reader that finds nothing would let everything pass."""
    assert {"notice", "payments", f"payment-{ANY}", f"refund-{ANY}"} <= IDS
    assert len(FRAGMENTS) > 8
    form = flat("admin/refunds/_form.html").select_one("form[hx-post]")
    assert form
    assert form["hx-post"] == f"/admin/payments/{'A' * 24}/refunds"


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_a_template_compiles(name: str) -> None:
    assert environment.get_template(name).name == name


def test_every_template_is_drawn_by_someone_and_every_drawn_one_exists() -> None:
    drawn = {name for template in NAMES for name in meta.find_referenced_templates(parsed(template)) if name}
    drawn |= {call.args[0].value for name in NAMES for call in calls(parsed(name)) if called(call, {"drawn"})}  # type: ignore[attr-defined]
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and re.fullmatch(r"[\w/]+\.html", str(node.value)):
                drawn.add(str(node.value))
            elif isinstance(node, ast.JoinedStr):
                drawn |= {name for name in NAMES if re.fullmatch(pattern(node), name)}
    assert drawn == set(NAMES)


def pattern(text: ast.JoinedStr) -> str:
    """f"sessions/{name}.html" as a regular expression that a name must fill."""
    parts = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+" for part in text.values]
    return "".join(parts)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_in_the_layout_and_names_itself(name: str) -> None:
    assert [node.template.value for node in parsed(name).find_all(nodes.Extends)] == ["layout.html"]  # type: ignore[attr-defined]
    assert "main" in {block.name for block in parsed(name).find_all(nodes.Block)}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_trusted_to_be_html(name: str) -> None:
    filters = {node.name for node in parsed(name).find_all(nodes.Filter)}
    assert "safe" not in filters
    if "tojson" in filters:
        assert "forceescape" in filters, "JSON in an attribute is text"
    assert not re.search(r"autoescape|Markup", source(name))
    assert environment.autoescape is True


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────

METHODS = {"href": "GET", "hx-get": "GET", "hx-post": "POST", "hx-sse:connect": "GET"}


def method_of(tag: Tag, key: str) -> str:
    return str(tag.get("method", "get")).upper() if key == "action" else METHODS[key]


ADDRESSES = [
    (name, key, value, method_of(tag, key))
    for name, tag, key, value in attributes()
    if key in (*METHODS, "action") and tag.name != "link"
]


def served(url: str, method: str) -> str | None:
    """The name of the route that answers."""
    scope = {"type": "http", "method": method, "path": urlsplit(url).path, "headers": []}
    return next(
        (route.name for route in routes if isinstance(route, Route) and route.matches(scope)[0] == Match.FULL), None
    )


@pytest.mark.parametrize(
    ("name", "key", "value", "method"), ADDRESSES, ids=[f"{name}-{key}-{value}" for name, key, value, _ in ADDRESSES]
)
def test_every_address_is_a_route_of_ours_and_takes_this_method(name: str, key: str, value: str, method: str) -> None:
    if value in ELSEWHERE or (key == "href" and (value == "" or value.startswith("#"))):  # "": this page again
        return
    assert served(value, method), f"{name}: {method} {value}"


def route_names(name: str) -> Iterator[tuple[nodes.Expr, dict[str, object]]]:
    """What a template hands to path_for, by itself or through a macro of its own, and the words that go with it."""
    macros = {macro.name: macro for macro in parsed(name).find_all(nodes.Macro)}
    handing = {key for key, macro in macros.items() if any(called(call, {"path_for"}) for call in calls(macro))}
    inside = [id(call) for key in handing for call in calls(macros[key])]
    for call in calls(parsed(name)):
        if called(call, {"path_for", *handing}) and id(call) not in inside:
            yield call.args[0], {word.key: SAMPLES.get(word.key, "") for word in call.kwargs}


def calls(node: nodes.Node) -> Iterator[nodes.Call]:
    return node.find_all(nodes.Call)


def called(call: nodes.Call, names: set[str]) -> bool:
    return isinstance(call.node, nodes.Name) and call.node.name in names


@pytest.mark.parametrize("name", NAMES)
def test_every_route_is_called_by_a_name_that_exists(name: str) -> None:
    for route, samples in route_names(name):
        assert isinstance(route, nodes.Const), "the name is written down, not computed"
        assert path_for(str(route.value), **samples)


def test_every_script_and_style_is_a_file_of_ours() -> None:
    files = [str(tag.get("src") or tag.get("href")) for _, tag in elements("script, link")]
    assert len(files) > 5
    for file in files:
        assert file.startswith("/static/")
        assert (STATIC / file.removeprefix("/static/")).is_file()


# ── htmx on top of HTML that works without it ────────────────────────────────────────────────────────────────────────


def test_every_form_that_htmx_posts_works_without_htmx() -> None:
    forms = elements("[hx-post]")
    assert forms
    for name, form in forms:
        assert form.name == "form", name
        assert form["action"] == form["hx-post"], name
        assert form["method"] == "post", name


def test_every_hx_get_is_a_link_a_search_form_or_the_waiting_page() -> None:
    seen = set()
    for name, tag in elements("[hx-get]"):
        seen.add(tag.name)
        if tag.name == "a":
            assert tag["href"] == tag["hx-get"], name
        elif tag.name == "form":
            assert (tag["action"], tag["method"]) == (tag["hx-get"], "get"), name
            assert tag.select_one("[type=submit]"), f"{name}: no way to send it without a script"
        else:
            assert str(tag["hx-trigger"]).startswith("every "), name
    assert {"a", "form"} < seen, "and someone who asks again by itself"


def test_every_write_says_who_is_disabled_and_who_spins_meanwhile() -> None:
    for name, form in elements("[hx-post]"):
        assert form.get("hx-disable"), f"{name}: a second press would send it again"
        assert form.get("hx-indicator"), name


def named_ids() -> Iterator[tuple[str, str, str]]:
    """Every place that names an element by its id."""
    for name, tag, key, value in attributes():
        if key in ("hx-target", "hx-indicator", "hx-disable", "hx-include", "hx-trigger", "hx-select"):
            yield from ((name, key, found) for found in re.findall(rf"#([\w{ANY}-]+)", value))
        elif key in ("aria-labelledby", "aria-describedby", "aria-controls", "data-copy", "data-close", "for", "list"):
            yield from ((name, key, found) for found in value.split())
        elif key == "href" and value.startswith("#") and tag.name == "a":
            yield name, key, value[1:]
    yield from ((name, "list", said["list"]) for name, said in fields() if "list" in said)


NAMED = sorted(set(named_ids()))


@pytest.mark.parametrize(("name", "key", "wanted"), NAMED, ids=["-".join(entry) for entry in NAMED])
def test_every_id_that_is_named_exists(name: str, key: str, wanted: str) -> None:
    assert wanted in IDS


def test_every_id_that_python_or_a_script_names_exists() -> None:
    text = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    text += "".join((STATIC / name).read_text() for name in ("app.js", "console.js", "window.js"))
    named = set(re.findall(r"[\"'`]#([a-z][\w-]*)", text))
    named |= set(re.findall(r'(?:getElementById|byId)\(["`]([\w-]+)', text))
    assert {"notice", "payment-rows", "payment-", "arrivals"} <= named
    assert not {wanted for wanted in named if not {wanted, f"{wanted}{ANY}"} & IDS}


def test_no_two_elements_of_a_file_share_an_id() -> None:
    for name in NAMES:
        ids = [str(tag["id"]) for tag in flat(name).select("[id]") if tag["id"] != ANY]
        assert sorted(ids) == sorted(set(ids)), name


# ── a policy without unsafe-inline and unsafe-eval ───────────────────────────────────────────────────────────────────


def test_nothing_is_inline() -> None:
    assert not elements("style")
    assert not [name for name, tag in elements("script") if not tag.get("src") or tag.get_text(strip=True)]
    for name, tag, key, value in attributes():
        where = f"{name}: <{tag.name} {key}={value}>"
        assert key != "style", where
        assert not key.startswith(("on", "hx-on")), where
        assert not re.match(r"\s*(javascript|js|data|vbscript):", value), where
        assert key != "hx-trigger" or "[" not in value, f"{where} needs eval"


# ── fragments ────────────────────────────────────────────────────────────────────────────────────────────────────────

# What is not one element with an id of its own, and why.
ANSWERS_IN_PARTS = {
    "admin/refunds/_done.html",
    "admin/refunds/_asked.html",
    "admin/payments/_canceled.html",
    "admin/payments/_revealed.html",
}  # <hx-partial>s, each says where it goes
ROWS = {"admin/payments/_rows.html"}  # several rows, each with an id
INSIDE = {  # never swapped by itself: lives inside the element that is
    "admin/payments/_missed.html",
    "errors/_notice.html",
    "admin/refunds/_form.html",
    "admin/approvals/_decide.html",
    "shop/_price.html",
}


def roots(name: str) -> list[Tag]:
    return [child for child in flat(name).children if isinstance(child, Tag)]


@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_is_one_element_that_can_be_found_again(name: str) -> None:
    found = roots(name)
    loose = [text for text in flat(name).find_all(string=True, recursive=False) if text.strip(f" \n{ANY}")]
    assert not loose, "text outside of every element"
    if name in ANSWERS_IN_PARTS:
        assert {tag.name for tag in found} == {"hx-partial"}
        assert all(tag.get("hx-target") and tag.get("hx-swap") for tag in found)
    elif name in ROWS:
        assert {tag.name for tag in found} == {"tr"}
        assert all(tag.get("id") for tag in found)
    else:
        assert len(found) == 1
        assert bool(found[0].get("id")) != (name in INSIDE)


@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_says_on_top_what_it_needs(name: str) -> None:
    comment = re.match(r"\{#(.*?)#\}", source(name), re.DOTALL)
    assert comment
    needs = re.search(r"Needs:? ([^#]+)", comment[1])
    assert needs
    used = meta.find_undeclared_variables(parsed(name)) - environment.globals.keys()
    assert used <= set(re.findall(r"\w+", needs[1]))


def test_a_redrawn_element_is_the_one_that_was_swapped() -> None:
    """A swap of outerHTML must bring back what it took away, or the next swap finds nothing."""
    for name, tag in elements("[hx-target^='#'][hx-swap=outerHTML]"):
        target = str(tag["hx-target"])[1:]
        redrawn = [fragment for fragment in FRAGMENTS for root in roots(fragment) if root.get("id") == target]
        assert redrawn, f"{name}: no fragment has the root #{target}"


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_label_has_its_control_and_every_control_its_label() -> None:
    for name, label in elements("label"):
        inside = label.select_one("input, select, textarea")
        beside = flat(name).find(id=str(label.get("for", "")))
        assert inside or beside, f"{name}: {label}"
    for name, control in elements("input:not([type=hidden]), select, textarea"):
        around = control.find_parent("label")
        assert around or flat(name).select_one(f'label[for="{control.get("id")}"]'), f"{name}: {control}"


def test_every_button_says_what_it_does_to_a_form() -> None:
    buttons = elements("button")
    assert len(buttons) > 5
    for name, button in buttons:
        assert button.get("type") in ("submit", "button"), f"{name}: {button}"
        scripted = any(key.startswith("data-") for key in button.attrs)  # fills a field of the form it stands in
        sends = button.find_parent("form") is not None or button.get("form") is not None
        assert (button["type"] == "submit") == (sends and not scripted), f"{name}: {button}"
        assert button.get_text(strip=True) or button.get("aria-label"), f"{name}: {button}"


def test_every_page_is_korean_and_says_its_name() -> None:
    layout = flat("layout.html")
    assert layout.html
    assert layout.html["lang"] == "ko"
    for name in PAGES:
        titled = {block.name for block in parsed(name).find_all(nodes.Block)}
        assert "title" in titled or name == "shop/index.html", name
