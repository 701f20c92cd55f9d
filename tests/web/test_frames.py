"""The words of the socket are plain data with fixed bounds and codes."""

from web import frames


def test_the_close_codes_are_a_contract() -> None:
    codes = (
        frames.PROTOCOL,
        frames.UNAUTHENTICATED,
        frames.FORBIDDEN,
        frames.NO_HELLO,
        frames.STALE,
        frames.RATE,
        frames.TOO_SLOW,
        frames.RESTART,
    )
    assert codes == (4400, 4401, 4403, 4408, 4409, 4429, 4008, 4012)


def test_the_bounds_of_a_session_are_as_promised() -> None:
    limits = frames.Limits()
    assert (limits.frame_bytes, limits.subscriptions, limits.hello_s, limits.beat_s, limits.stall_s) == (
        65_536,
        16,
        5.0,
        5.0,
        30.0,
    )
