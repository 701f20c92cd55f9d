"""What the server tells Prometheus of itself."""

from bus.messages.base import Position
from bus.messages.system import JournalView
from tests.web.support import World
from web.metrics import exposition, families

JOURNAL = JournalView(
    epoch=1,
    head=Position(9),
    watermark=Position(8),
    oldest=Position(1),
    buffered=1,
    size_bytes=4096,
    commits=3,
    commit_p99_ms=2.5,
    watermark_age_ms=1500.0,
    step=0,
)


def test_times_are_in_seconds_and_what_was_counted_since_the_start_is_a_total() -> None:
    found = {
        sample.name: sample.value
        for family in families(World().hub, JOURNAL, 2)
        for sample in family.samples
        if not sample.labels
    }
    assert (found["agora_head"], found["agora_watermark"], found["agora_journal_bytes"]) == (9, 8, 4096)
    assert (found["agora_commit_p99_seconds"], found["agora_watermark_age_seconds"]) == (0.0025, 1.5)
    assert (found["agora_commits_total"], found["agora_sockets_stalled_total"]) == (3, 2)


def test_what_is_exposed_says_of_each_family_what_it_is() -> None:
    text = exposition(families(World().hub, JOURNAL, 0)).decode()
    assert "# HELP agora_head The last position that was given." in text
    assert "# TYPE agora_commits_total counter" in text
    assert "\nagora_head 9.0\n" in text
