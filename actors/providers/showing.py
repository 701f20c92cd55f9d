"""What is being said at this moment, as whoever watches may see it.

Rules: the words of a request marked `local` are shown only where they may be kept as well; what is not kept of words,
keys and what the settings name, is not shown either, even while it has come only in part. No clock.
"""

from collections.abc import Mapping

from actors.providers.calls import Call
from actors.providers.settings import RouterOptions, redactor_of
from bus.address import Address
from bus.messages.routing import WordsSaid

TAIL_CHARACTERS = 600
"""Of what was said so much is shown."""


class Showing:
    """Decides what is shown to an audience, if there is one."""

    def __init__(self, audience: Address | None, options: RouterOptions, environment: Mapping[str, str]) -> None:
        self.audience = audience
        self._environment = environment
        self.reconfigure(options)

    def reconfigure(self, options: RouterOptions) -> None:
        """Go by other settings from now on."""
        self._shows_local = options.log_local
        self._redactor = redactor_of(options, self._environment)

    def allows(self, call: Call) -> bool:
        """Whether its words may be watched."""
        is_public = call.request.privacy != "local" or self._shows_local
        return self.audience is not None and bool(call.completion) and is_public

    def words(self, call: Call, *, is_over: bool) -> WordsSaid:
        """The end of what it has said so far."""
        text = call.stream.text if call.stream is not None else ""
        flight = call.flights.get(call.speaking)
        return WordsSaid(
            completion=call.completion,
            agent=call.agent,
            task=call.request.task,
            provider=flight.seat.name if flight is not None else "",
            tail=self._redactor.tail(text, TAIL_CHARACTERS, is_over=is_over),
            characters=len(text),
            is_over=is_over,
        )
