"""Lightning backends: one adapter each for LND, LNbits and a simulated one, and BOLT11, the text of an invoice."""

from collections.abc import Mapping

from actors.nodes.lnbits import LnbitsNode
from actors.nodes.lnd import LndNode
from actors.nodes.node import Issued, Look, LookState, Node, NodeFault, Wish
from actors.nodes.options import LightningOptions
from actors.nodes.simulated import SimulatedNode
from bus.errors import ConfigError

__all__ = [
    "Issued",
    "LightningOptions",
    "LnbitsNode",
    "LndNode",
    "Look",
    "LookState",
    "Node",
    "NodeFault",
    "SimulatedNode",
    "Wish",
    "check_key",
    "open_node",
]


def check_key(options: LightningOptions, environment: Mapping[str, str]) -> None:
    """Raises `ConfigError` where one is needed and not there, or odd."""
    key = environment.get(options.key_env, "").strip()
    if options.backend != "simulated" and not (key.isascii() and key.isprintable() and key):
        reason = f"the key of {options.backend} is not set" if not key else "it has characters that no header may have"
        raise ConfigError("the environment", options.key_env, reason)


def open_node(options: LightningOptions, environment: Mapping[str, str]) -> Node:
    """The configured backend; without its key it opens, and is refused by the node."""
    key = environment.get(options.key_env, "").strip()
    match options.backend:
        case "simulated":
            return SimulatedNode()
        case "lnd":
            return LndNode(options, key)
        case "lnbits":
            return LnbitsNode(options, key)
