"""Query parameters, read once and typed: an unknown one is refused by name, like a wrong one."""

from starlette.requests import Request

from bus.messages.base import Microseconds, Position
from bus.messages.system import EVENTS_LIMIT_MAX
from bus.refusals import InvalidField
from web.wire import check_patterns, parse_time

TEXT_MAX = 256
INTEGER_MAX = 2**53


class Parameters:
    """The query of a request. Raises InvalidField."""

    def __init__(self, request: Request, known: tuple[str, ...]) -> None:
        self._query = request.query_params
        for name in self._query:
            if name not in known:
                raise InvalidField(name[:TEXT_MAX], f"is not known; there are {', '.join(known) or 'none'}")

    def has(self, name: str) -> bool:
        """Whether it was given."""
        return name in self._query

    def text(self, name: str) -> str:
        """One value, or empty."""
        values = self._query.getlist(name)
        if len(values) > 1:
            raise InvalidField(name, "is given more than once")
        if values and len(values[0]) > TEXT_MAX:
            raise InvalidField(name, f"is longer than {TEXT_MAX} characters")
        return values[0] if values else ""

    def patterns(self, name: str) -> tuple[str, ...]:
        """Values that may be repeated or separated by commas: event types or topic patterns."""
        words = [word for value in self._query.getlist(name) for word in value.split(",")]
        return check_patterns(name, tuple(words))

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        text = self.text(name)
        if name not in self._query:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
            raise InvalidField(name, f"is not a whole number between {low} and {high}")
        return int(text)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number within bounds."""
        if name not in self._query:
            return default
        try:
            value = float(self.text(name))
        except ValueError as error:
            raise InvalidField(name, "is not a number") from error
        if not low <= value <= high:
            raise InvalidField(name, f"is not between {low:g} and {high:g}")
        return value

    def position(self, name: str) -> Position:
        """A position, or 0."""
        return Position(self.integer(name, 0, 0, INTEGER_MAX))

    def time(self, name: str) -> Microseconds:
        """A time in RFC 3339 or microseconds since 1970, or 0."""
        return parse_time(name, self.text(name)) if name in self._query else 0

    def limit(self, default: int = 50) -> int:
        """The page size."""
        return self.integer("limit", default, 1, EVENTS_LIMIT_MAX)
