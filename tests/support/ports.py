"""Ports for servers that end and come back on the same one."""

import random
import socket

CANDIDATES = range(15_000, 32_000)
"""Below what systems give to outgoing connections, so that none of those takes the port while its server is away."""
_dice = random.Random()


def free_port() -> int:
    """A port on loopback that nothing listens on now."""
    while True:
        port = _dice.choice(CANDIDATES)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server that comes back does
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
