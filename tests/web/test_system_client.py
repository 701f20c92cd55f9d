"""The SDK's view of the process and its switch."""

import pytest

from bus.messages.base import Done
from bus.messages.monitor import Alert, HaltSystem, MonitorView, ReadMonitor, ResumeSystem
from tests.web.support import READER, TOKEN, World, served
from web.client import AgoraClient
from web.live_feed import RequestFailed


async def test_an_operator_halts_resumes_and_sees_what_is_wrong() -> None:
    world = World()
    alert = Alert("disk", "disk", "1 MiB are free", 5)
    world.gateway.replies |= {
        HaltSystem: Done(),
        ResumeSystem: Done(),
        ReadMonitor: MonitorView(True, "look first", "ana", (alert,)),
    }
    async with served(world) as url, AgoraClient(url, token=TOKEN) as agora:
        await agora.system.halt("look first")
        await agora.system.resume()
        shown = await agora.system.show()
    asked = [message for _, message in world.gateway.asked]
    assert HaltSystem("look first", "operator") in asked
    assert ResumeSystem("operator") in asked
    assert (shown.is_halted, shown.alerts) == (True, (alert,))


async def test_a_reader_may_look_and_not_halt() -> None:
    async with served(World()) as url, AgoraClient(url, token=READER) as agora:
        assert not (await agora.system.show()).is_halted
        with pytest.raises(RequestFailed):
            await agora.system.halt()
