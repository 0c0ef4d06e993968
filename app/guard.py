"""What stands before every endpoint: writes only from our own pages, and headers that keep a browser careful."""

import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.gateways import Gateway
from app.problems import problem

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
PG_CALLS = "/webhooks/"  # from servers, and harmless: they only make us ask the PG


def content_policy(form_action: tuple[str, ...] = (), window: tuple[str, ...] = ()) -> str:
    """No inline script or style anywhere. `form_action`: where a form's 303 may lead; `window`: whose SDK may run."""
    also = "".join(f" {origin}" for origin in window)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self'{also}",
            "style-src 'self'",
            f"img-src 'self' data:{also}",
            "font-src 'self'",
            f"connect-src 'self'{also}",
            "frame-src" + (also or " 'none'"),
            f"form-action 'self'{''.join(f' {origin}' for origin in form_action)}{also}",
            "manifest-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def window_headers(gateway: Gateway) -> dict[str, str]:
    """The one page where a PG's script runs, and may open its window."""
    return {
        "Content-Security-Policy": content_policy(window=gateway.origins),
        "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    }


class NoQueries(logging.Filter):
    """Keeps queries out of an access log: one on the way back from a PG is a permission to take money (pg_token)."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(word.partition("?")[0] if isinstance(word, str) else word for word in record.args)
        return True


NO_QUERIES = NoQueries()


class SameOrigin:
    """Refuse writes that another site's page sends (Fetch Metadata, with Origin for browsers that lack it)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self.admits(scope):
            return await self.refuse(Request(scope))(scope, receive, send)
        return await self.app(scope, receive, send)

    @staticmethod
    def refuse(request: Request) -> Response:
        sentence = "다른 사이트에서 보낸 요청이라 처리하지 않았습니다."
        if request.url.path.startswith("/api/"):
            return problem(403, "FORBIDDEN", sentence)
        return PlainTextResponse(sentence, 403)

    @staticmethod
    def admits(scope: Scope) -> bool:
        if scope["method"] in SAFE or scope["path"].startswith(PG_CALLS):
            return True
        headers = Headers(scope=scope)
        if site := headers.get("sec-fetch-site"):
            return site in ("same-origin", "none")
        origin = headers.get("origin")
        try:
            return origin is None or urlsplit(origin).netloc == headers.get("host")
        except ValueError:
            return False


class BodyLimit:
    """Refuse a body of more than `limit` bytes while it is read; the app's own handlers tell the asker.

    `pg_calls`: the same for what anybody may say in a PG's name, for that is kept.
    """

    def __init__(self, app: ASGIApp, limit: int, pg_calls: int) -> None:
        self.app, self.limit, self.pg_calls = app, limit, pg_calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self.pg_calls if scope.get("path", "").startswith(PG_CALLS) else self.limit
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413)
            return message

        await self.app(scope, limited if scope["type"] == "http" else receive, send)


def careful_headers(origins: tuple[str, ...], *, https: bool) -> dict[str, str]:
    """`origins`: where a form may lead to a PG."""
    headers = {
        "Content-Security-Policy": content_policy(form_action=origins),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",  # every page is somebody's; Back must ask us again
    }
    return headers | ({"Strict-Transport-Security": "max-age=31536000"} if https else {})


class CarefulHeaders:
    """Defaults for every answer; an endpoint's own headers win."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self.app, self.headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if scope["path"].startswith("/static/") and message["status"] in (200, 304):
                    # Their addresses carry a digest of what is in them.
                    headers["Cache-Control"] = "public, max-age=31536000, immutable"
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, careful if scope["type"] == "http" else send)
