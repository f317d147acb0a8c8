"""Two workers behind one address, as their listening socket deals them out; one of them lacks something."""

from __future__ import annotations

import asyncio
import itertools

from reference_service.app import create_app


class Pair:
    """Requests in turn; what is posted to the control plane to both; what is asked of it, the first."""

    def __init__(self, first, second):
        self._both = (first, second)
        self._turn = itertools.cycle(self._both)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"].startswith("/v2/models") and scope["method"] == "POST":
            await next(self._turn)(scope, receive, send)
        elif scope["method"] == "POST":
            await self._tell_both(scope, receive, send)
        else:
            await self._both[0](scope, receive, send)

    async def _live(self, receive, send):
        """Both start and end together: each hears what the server says, and the last one's word is passed on."""
        heard = [asyncio.Queue(), asyncio.Queue()]
        said = [asyncio.Queue(), asyncio.Queue()]
        lives = [
            asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}}, hears.get, says.put))
            for app, hears, says in zip(self._both, heard, said, strict=True)
        ]
        for _ in ("startup", "shutdown"):
            message = await receive()
            for hears in heard:
                await hears.put(message)
            words = [await says.get() for says in said]
            await send(words[-1])
        await asyncio.gather(*lives)

    async def _tell_both(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        answers = []
        for app in self._both:
            parts, sent = [{"type": "http.request", "body": body, "more_body": False}], []

            async def again(parts=parts):
                return parts.pop() if parts else {"type": "http.disconnect"}

            async def kept(message, sent=sent):
                sent.append(message)

            await app(dict(scope), again, kept)
            answers.append(sent)
        for message in answers[0]:
            await send(message)


def _pair(settings, seams, clock, post, **second):
    return Pair(
        create_app(settings, clock=clock, seams=seams, post=post),
        create_app({**settings, **second}, clock=clock, seams=seams, post=post),
    )


def honest_pair(settings, *, clock, seams, post):
    """Both are the service as it is."""
    return _pair(settings, seams, clock, post)


def one_of_two_does_not_validate(settings, *, clock, seams, post):
    """Half of the requests reach the model as they come."""
    return _pair(settings, seams, clock, post, safeguards={"validation": False})


def one_of_two_has_no_fallback(settings, *, clock, seams, post):
    """Half of the requests fail with their dependency."""
    return _pair(settings, seams, clock, post, safeguards={"fallback": False})


def one_of_two_is_not_counted(settings, *, clock, seams, post):
    """The metrics are those of one worker; the other works as well."""
    return _pair(settings, seams, clock, post)
