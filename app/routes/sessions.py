"""Register, log in, log out."""

from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import auth
from app.auth import anyone
from app.forms import LoginForm, RegisterForm, typed
from app.models import User
from app.render import render
from app.till import Till

TOO_MANY = "로그인을 너무 여러 번 시도했습니다. 15분 뒤에 다시 시도해 주세요."
CROWDED = "이 네트워크에서 너무 많은 계정을 만들었습니다. 15분 뒤에 다시 시도해 주세요."
WRONG = "이메일 또는 비밀번호가 맞지 않습니다."


@anyone
async def login(request: Request) -> Response:
    if request.method != "POST":
        return _page(request, "login", {"next": request.query_params.get("next", "")})
    values = await typed(request)
    form, errors = LoginForm.read(values)
    if form is None:
        return _page(request, "login", values, errors, 422)
    throttle: auth.Throttle = request.state.throttle
    address = _address(request)
    if not throttle.admits(form.email, address):
        return _later(_page(request, "login", values, {"form": TOO_MANY}, 429))
    user = await auth.find_user(request.state.till, form.email, form.password)
    if user is None:
        throttle.failed(address)
        return _page(request, "login", values, {"form": WRONG}, 422)
    throttle.succeeded(form.email, address)
    return _enter(request, user, values)


@anyone
async def register(request: Request) -> Response:
    if request.method != "POST":
        return _page(request, "register", {"next": request.query_params.get("next", "")})
    values = await typed(request)
    form, errors = RegisterForm.read(values)
    if form is None:
        return _page(request, "register", values, errors, 422)
    till: Till = request.state.till
    throttle: auth.Throttle = request.state.throttle
    if not throttle.welcomes(_address(request)):
        return _later(_page(request, "register", values, {"form": CROWDED}, 429))
    user = User(
        email=form.email,
        password_hash=await auth.hash_slowly(form.password),
        name=form.name,
        phone=form.phone or "",
    )
    try:
        async with till.db.write() as session:
            session.add(user)
    except IntegrityError:
        taken = {"email": "이미 가입된 이메일입니다. 로그인하거나 다른 이메일을 써 주세요."}
        return _page(request, "register", values, taken, 422)
    return _enter(request, user, values)


@anyone
async def logout(request: Request) -> Response:
    """Here, or with `everywhere=on` on every device: the epoch of the sessions out there is then over."""
    everywhere = bool(request.state.user) and (await typed(request)).get("everywhere") == "on"
    await auth.log_out(request, everywhere=everywhere)
    return RedirectResponse(request.url_for("shop").path, 303)


def _address(request: Request) -> str:
    """Whose tries count together. One customer of IPv6 has a whole /64 of addresses."""
    host = request.client.host if request.client else ""
    try:
        ip = ip_address(host)
    except ValueError:
        return host
    if isinstance(ip, IPv4Address) or ip.ipv4_mapped:
        return host
    return str(ip_network((ip, 64), strict=False))


def _later(answer: Response) -> Response:
    answer.headers["Retry-After"] = "900"
    return answer


def _enter(request: Request, user: User, values: dict[str, Any]) -> Response:
    auth.log_in(request, user)
    return RedirectResponse(auth.safe_next(values.get("next")), 303)


def _page(
    request: Request, name: str, values: dict[str, Any], errors: dict[str, str] | None = None, status: int = 200
) -> Response:
    typed_values = {"email": "", "name": "", "phone": "", "next": ""} | values
    return render(request, f"sessions/{name}.html", typed=typed_values, errors=errors or {}, status=status)
