"""Whether a society is ready for work, and why it is not.

Rules: it is not while an actor is parked or stands still, and not while the journal cannot be written, waits for the
disk, or lags behind it.
"""

from actors.runtime import ActorSystem
from actors.runtime.lifecycle import Lifecycle

STUCK_AFTER_S = 30.0
"""A message that waits longer in the mailbox of a running actor means that the actor stands still."""
WATERMARK_AGE_MAX_S = 5.0
"""Events that wait longer for the disk mean that it stands still."""


def complaints_of(system: ActorSystem) -> list[str]:
    """Why the society is not ready, one line each."""
    actors = system.statistics()
    parked = [actor for actor in actors if actor.parked_at]
    found = [f"{actor.address} is parked at position {actor.parked_at}" for actor in parked]
    found += [
        f"{actor.address} is stuck: a message has waited for {actor.oldest_s:.0f} s"
        for actor in actors
        if actor.oldest_s > STUCK_AFTER_S and actor.state is Lifecycle.RUNNING
    ]
    if system.log.has_failed:
        found.append("the journal cannot be written")
    if (stalled := system.log.stalled) is not None:
        found.append(f"the journal waits for the disk ({stalled.code.replace('_', ' ')}): the intake is paused")
    elif system.log.watermark_age_s > WATERMARK_AGE_MAX_S and not system.log.has_failed:
        found.append(f"events have waited {system.log.watermark_age_s:.0f} s for the disk")
    return found
