"""How the threads of a process share its interpreter.

The society runs on one loop in one thread, and the journal writes in another. A busy loop gives the interpreter up only
after the switch interval: with Python's default of 5 ms the writer starves, and whoever waits for a commit with it.
"""

import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0002
"""The writer needs the interpreter for each insert of some hundred rows, a read a few times, and each waits so long
for a busy loop to let go of it."""


def share() -> None:
    """Let the other threads of this process have their turn in time. For a process that runs a society."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
