"""What an event was caused by, and what it caused."""

from pathlib import Path

import pytest

from bus.messages.base import Position
from bus.messages.system import ReadChain, SystemInfo
from bus.refusals import NotFound
from tests.storage.support import opened, record, write


async def test_a_chain_names_what_led_to_an_event_and_what_it_led_to(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=10) as store:
        causes = {1: 0, 2: 1, 3: 1, 4: 3, 5: 0, 6: 4, 7: 5, 40: 6}
        batch = [
            record(p, SystemInfo(str(p)), cause=causes.get(p, 0), correlation="k" if p in causes else "")
            for p in range(1, 45)
        ]
        for start in range(0, 44, 4):
            await write(store, batch[start : start + 4])
        chain = await store.chain(ReadChain(Position(4)))
        assert [event.position for event in chain.causes] == [3, 1]
        assert [event.position for event in chain.effects] == [6, 40]
        assert chain.is_whole
        with pytest.raises(NotFound):
            await store.chain(ReadChain(Position(45)))
        await store.prune(Position(12))
        cut = await store.chain(ReadChain(Position(40)))
        assert (cut.causes, cut.is_whole) == ((), False)
