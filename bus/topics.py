"""Which topics match which patterns.

A topic is dot-separated words, such as `task.created`. In a pattern `*` stands for one word and `#` for any number of
words, none included. These are AMQP's topic rules.

Pure: no clock, no loop.
"""

from functools import lru_cache

PATTERNS_CACHED_MAX = 4_096


def matches(pattern: str, topic: str) -> bool:
    """Whether `topic` matches `pattern`."""
    return pattern in ("#", topic) or _matches(tuple(pattern.split(".")), tuple(topic.split(".")))


def matches_any(patterns: tuple[str, ...], topic: str) -> bool:
    """Whether `topic` matches one of `patterns`."""
    return any(matches(pattern, topic) for pattern in patterns)


def is_valid_pattern(pattern: str) -> bool:
    """Whether `pattern` is made of words of letters, digits, `_` and `-`, or the wild cards."""
    words = pattern.split(".")
    return all(word in ("*", "#") or word.replace("_", "").replace("-", "").isalnum() for word in words)


@lru_cache(maxsize=PATTERNS_CACHED_MAX)
def _matches(pattern: tuple[str, ...], topic: tuple[str, ...]) -> bool:
    if not pattern:
        return not topic
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_matches(rest, topic[skipped:]) for skipped in range(len(topic) + 1))
    if not topic or head not in ("*", topic[0]):
        return False
    return _matches(rest, topic[1:])
