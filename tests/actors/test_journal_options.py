"""The settings of the journal."""

from pathlib import Path

from actors.journal_options import JournalOptions


def test_checkpoints_lie_in_the_data_directory_or_where_it_is_said() -> None:
    assert JournalOptions().checkpoints_in(Path("data")) == Path("data/checkpoints")
    assert JournalOptions(checkpoint_directory="elsewhere").checkpoints_in(Path("data")) == Path("elsewhere")


def test_all_is_kept_unless_something_else_is_said() -> None:
    assert not JournalOptions().limits.is_any
    assert JournalOptions(retain_days=0.5).limits.age_us == 43_200_000_000
    assert JournalOptions(retain_events=7).limits.events == 7
    assert JournalOptions(segment_events=5_000).segments.events == 5_000
