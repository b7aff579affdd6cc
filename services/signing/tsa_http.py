"""The timestamp authority over HTTP (RFC 3161 3.4), to be mounted by the signing service's app."""

from typing import Final

from aiohttp import web

from services.signing.tsa import TimestampAuthority

QUERY_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"
MAX_QUERY_BYTES: Final = 64 * 1024


def timestamp_app(authority: TimestampAuthority, path: str = "/") -> web.Application:
    """An application with one route: POST a query; GET is 405, another type 415, too large 413."""

    async def stamp(request: web.Request) -> web.Response:
        if request.content_type != QUERY_TYPE:
            raise web.HTTPUnsupportedMediaType(text=f"send {QUERY_TYPE}\n")
        query = await request.read()
        # Short enough for the event loop: one RSA-2048 signature takes 0.4 ms.
        return web.Response(body=authority.respond(query), content_type=REPLY_TYPE)

    app = web.Application(client_max_size=MAX_QUERY_BYTES)
    app.router.add_post(path, stamp)
    return app
