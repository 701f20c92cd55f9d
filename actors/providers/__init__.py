"""One adapter per dialect: pure encode and decode, over one small transport."""

from actors.providers.calls import Call
from actors.providers.dialect import ModelReply, Prompt, ProviderFault
from actors.providers.discovery import discover, probe_http
from actors.providers.opening import open_provider
from actors.providers.options import ProviderOptions
from actors.providers.provider import Provider
from actors.providers.seats import Seat, Seats
from actors.providers.settings import RouterOptions
from actors.providers.transport import Transport

__all__ = [
    "Call",
    "ModelReply",
    "Prompt",
    "Provider",
    "ProviderFault",
    "ProviderOptions",
    "RouterOptions",
    "Seat",
    "Seats",
    "Transport",
    "discover",
    "open_provider",
    "probe_http",
]
