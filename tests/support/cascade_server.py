"""The cascade behind a real web server, as clients of any make meet it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.providers import ProviderOptions
from bus.clock import SystemClock
from tests.support.routing import Routing, routing
from tests.web.support import World
from web.app import build_app
from web.edge import Edge
from web.server import listen, serving, url_of


@asynccontextmanager
async def cascade_server(*providers: ProviderOptions) -> AsyncIterator[tuple[str, Routing]]:
    """A running router and the address under which it is served."""
    world = World()
    async with routing(*providers) as router:
        edge = Edge(
            gateway=router.system, hub=world.hub, keyring=world.keyring, options=world.options, clock=SystemClock()
        )
        listener = listen(world.options)
        async with serving(build_app(edge, limits=world.limits), world.hub, listener, world.limits):
            yield url_of(listener, world.options), router
