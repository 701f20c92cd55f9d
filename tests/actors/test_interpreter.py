"""The loop does not keep the interpreter to itself."""

import sys

from actors import interpreter


def test_who_shares_the_interpreter_gives_it_up_sooner_than_python_does_by_itself() -> None:
    before_s = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.005)
        interpreter.share()
        assert sys.getswitchinterval() < 0.001
    finally:
        sys.setswitchinterval(before_s)
