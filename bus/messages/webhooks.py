"""Webhooks: what a program elsewhere is told of as it happens."""

from typing import Final

from bus.address import Address
from bus.messages.base import Event, Position

WEBHOOKS: Final = Address("webhooks")


class WebhookAdded(Event, frozen=True):
    """Recorded at the first start with a webhook: it is told of what happens after the position `since`."""

    wire_name = "webhook.added"
    about = "webhook"

    webhook: str
    url: str
    since: Position


class WebhookRemoved(Event, frozen=True):
    """Recorded at the first start without it: what it was still owed is forgotten."""

    wire_name = "webhook.removed"
    about = "webhook"

    webhook: str


class WebhookOwed(Event, frozen=True):
    """Recorded before a webhook is told of the event at `told`; it is owed until an outcome is recorded."""

    wire_name = "webhook.owed"
    about = "webhook"

    webhook: str
    delivery: str
    told: Position
    topic: str


class WebhookDelivered(Event, frozen=True):
    """Recorded when the webhook has taken it."""

    wire_name = "webhook.delivered"
    about = "webhook"

    webhook: str
    delivery: str
    tries: int


class WebhookUndelivered(Event, frozen=True):
    """Recorded when the webhook did not take it, for as often as it was tried: a dead letter."""

    wire_name = "webhook.undelivered"
    about = "webhook"

    webhook: str
    delivery: str
    told: Position
    topic: str
    reason: str
    tries: int
