"""The settings of the whole cascade."""

import pytest

from actors.providers.discovery import EXTRACTIVE
from actors.providers.settings import RouterOptions


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: RouterOptions(providers=(EXTRACTIVE, EXTRACTIVE)), "'extractive' twice"),
        (lambda: RouterOptions(budget_agent_usd_micros=-1), "a budget must be at least 0"),
        (lambda: RouterOptions(completions_max=0), "`completions_max` must be at least 1"),
        (lambda: RouterOptions(agent_share=0.0), "`agent_share` must be above 0"),
        (lambda: RouterOptions(reader_gone_s=0.0), "`reader_gone_s` must be above 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_refused(wrong: "type[RouterOptions]", words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wrong()
