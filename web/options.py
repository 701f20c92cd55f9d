"""The settings of the web."""

import msgspec


class WebOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the pages, the HTTP interface and the live socket are served, and within which limits."""

    enabled: bool = True
    """false runs headless: no port is opened."""
    host: str = "127.0.0.1"
    """The address to listen on; beyond loopback every request needs a token."""
    port: int = 8080
    """The port to listen on; 0 takes a free one."""
    socket_path: str = ""
    """A Unix socket to listen on instead of a port; it counts as loopback, and only its owner may connect."""
    hosts: tuple[str, ...] = ()
    """Further names under which browsers may reach the server, beside loopback and `host`."""
    cors_origins: tuple[str, ...] = ()
    """Origins of other pages that may read and, with a token, act: `https://example.org`."""
    events_cached: int = 10_000
    """How many of the newest events are kept in memory for the feed."""
    bytes_cached: int = 32 * 1024 * 1024
    """How many bytes of them at most."""
    sockets_max: int = 1_000
    """How many live sockets may be open at once."""
    commands_per_s: float = 100.0
    """How many requests that act one client may make, sustained."""
    commands_burst: int = 400
    """How many at once."""
    stall_s: float = 30.0
    """How long a socket may take nothing before it is closed."""
