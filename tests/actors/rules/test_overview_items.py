"""The overview's items are plain data with a stable shape."""

import msgspec

from actors.rules.overview_items import AgentItem, ArtifactItem, OverviewState, ProviderItem, TaskItem


def test_an_empty_state_survives_storage() -> None:
    state = OverviewState()
    assert msgspec.json.decode(msgspec.json.encode(state), type=OverviewState) == state


def test_items_have_the_fields_that_the_page_builds_against() -> None:
    assert AgentItem.__struct_fields__ == (
        *("agent", "status", "reason", "tasks", "capabilities", "price_msat"),
        *("completed", "failed", "lost", "earned_msat", "since_us"),
    )
    assert TaskItem.__struct_fields__ == (
        *("task", "title", "state", "reward_msat", "capability", "attempt", "bids"),
        *("auction_opened_us", "auction_closes_us", "agent", "price_msat", "lease_s", "artifact", "input", "summary"),
        *("reason", "explanation", "ranking", "created_us", "updated_us"),
    )
    assert ArtifactItem.__struct_fields__ == (
        *("artifact", "name", "media_type", "size_bytes", "owner", "task", "created_us"),
    )
    assert ProviderItem.__struct_fields__ == (
        *("provider", "breaker", "reason", "completed", "failed", "spent_usd_micros", "is_enabled"),
    )


def test_two_states_share_nothing() -> None:
    first, second = OverviewState(), OverviewState()
    first.agents["scout"] = AgentItem("scout")
    assert second.agents == {}
