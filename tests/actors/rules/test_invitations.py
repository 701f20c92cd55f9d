"""Who is awaited and who is asked again."""

from actors.rules.invitations import SILENT_WINDOWS_MAX, Invitations
from bus.messages.base import AgentId, TaskId

ONE, TWO = TaskId("t-1"), TaskId("t-2")
SCOUT, CRITIC = AgentId("scout"), AgentId("critic")


def everyone(agent: AgentId) -> bool:
    return True


def nobody(agent: AgentId) -> bool:
    return False


def test_an_auction_awaits_the_free_until_each_has_answered() -> None:
    invitations = Invitations()
    invitations.open(ONE, (SCOUT, CRITIC), ())
    assert invitations.is_awaiting(ONE, everyone)
    invitations.answer(ONE, SCOUT)
    assert invitations.is_awaiting(ONE, everyone)
    invitations.answer(ONE, CRITIC)
    assert not invitations.is_awaiting(ONE, everyone)


def test_an_auction_does_not_await_who_has_meanwhile_got_its_hands_full() -> None:
    invitations = Invitations()
    invitations.open(ONE, (SCOUT,), ())
    assert not invitations.is_awaiting(ONE, nobody)


def test_an_auction_awaits_nobody_once_its_window_is_over() -> None:
    invitations = Invitations()
    invitations.open(ONE, (SCOUT,), ())
    invitations.pass_window(ONE, (), nobody, nobody)
    assert not invitations.is_awaiting(ONE, everyone)


def test_the_busy_are_owed_invitations_oldest_first_and_at_most_so_many_at_once() -> None:
    invitations = Invitations()
    for n in range(5):
        invitations.open(TaskId(f"t-{n}"), (), (SCOUT,))
    assert invitations.take_owed(SCOUT, 3) == ("t-0", "t-1", "t-2")
    assert invitations.take_owed(SCOUT, 3) == ("t-3", "t-4")
    assert invitations.take_owed(SCOUT, 3) == ()
    assert invitations.is_awaiting(TaskId("t-0"), everyone)


def test_who_could_not_answer_is_owed_another_invitation() -> None:
    invitations = Invitations()
    invitations.open(ONE, (SCOUT,), ())
    invitations.owe(ONE, SCOUT)
    assert not invitations.is_awaiting(ONE, everyone)
    assert invitations.take_owed(SCOUT, 9) == (ONE,)


def test_an_answer_settles_what_was_owed() -> None:
    invitations = Invitations()
    invitations.open(ONE, (), (SCOUT,))
    invitations.answer(ONE, SCOUT)
    assert invitations.take_owed(SCOUT, 9) == ()


def test_a_closed_auction_is_owed_to_nobody() -> None:
    invitations = Invitations()
    invitations.open(ONE, (), (SCOUT,))
    invitations.open(TWO, (), (SCOUT,))
    assert invitations.is_open(ONE)
    invitations.close(ONE)
    invitations.close(ONE)
    assert not invitations.is_open(ONE)
    assert invitations.take_owed(SCOUT, 9) == (TWO,)


def test_an_auction_that_opens_again_starts_over() -> None:
    invitations = Invitations()
    invitations.open(ONE, (), (SCOUT,))
    invitations.pass_window(ONE, (), everyone, nobody)
    invitations.open(ONE, (CRITIC,), ())
    assert invitations.take_owed(SCOUT, 9) == ()
    assert invitations.patience(ONE) == 1


def test_answers_to_auctions_that_are_closed_are_passed_over() -> None:
    invitations = Invitations()
    invitations.answer(ONE, SCOUT)
    invitations.owe(ONE, SCOUT)
    assert invitations.take_owed(SCOUT, 9) == ()


def test_a_passed_window_waits_for_the_busy_that_may_come_free() -> None:
    invitations = Invitations()
    invitations.open(ONE, (), (SCOUT,))
    assert invitations.pass_window(ONE, (), everyone, nobody)
    assert not invitations.pass_window(ONE, (), nobody, nobody)


def test_a_passed_window_waits_for_bidders_that_may_come_free() -> None:
    invitations = Invitations()
    invitations.open(ONE, (), ())
    assert invitations.pass_window(ONE, (SCOUT,), everyone, nobody)
    assert not invitations.pass_window(ONE, (SCOUT,), nobody, nobody)


def test_a_passed_window_gives_the_silent_a_few_more_and_then_none() -> None:
    invitations = Invitations()
    invitations.open(ONE, (CRITIC,), ())
    assert [invitations.pass_window(ONE, (), nobody, nobody) for _ in range(5)] == [True, True, True, False, False]


def test_a_passed_window_waits_for_the_free_that_are_still_owed_their_invitation_and_names_them() -> None:
    invitations = Invitations()
    invitations.open(ONE, (), (SCOUT,))
    for _ in range(9):
        assert invitations.pass_window(ONE, (), nobody, everyone)
    assert invitations.owed_to(ONE) == (SCOUT,)
    assert not invitations.pass_window(ONE, (), nobody, nobody), "it is paused: neither free nor busy"
    invitations.answer(ONE, SCOUT)
    assert not invitations.pass_window(ONE, (), nobody, everyone)


def test_nobody_is_waited_for_once_all_that_are_free_have_declined() -> None:
    invitations = Invitations()
    invitations.open(ONE, (CRITIC,), ())
    invitations.answer(ONE, CRITIC)
    assert not invitations.pass_window(ONE, (), nobody, nobody)


def test_the_newly_invited_have_a_window_however_long_the_others_were_silent() -> None:
    invitations = Invitations()
    invitations.open(ONE, (CRITIC,), (SCOUT,))
    for _ in range(SILENT_WINDOWS_MAX):
        invitations.pass_window(ONE, (), nobody, nobody)
    invitations.take_owed(SCOUT, 9)
    assert invitations.pass_window(ONE, (), nobody, nobody)
    assert not invitations.pass_window(ONE, (), nobody, nobody)


def test_who_had_not_answered_and_is_busy_at_the_end_of_the_window_is_owed_an_invitation() -> None:
    invitations = Invitations()
    invitations.open(ONE, (SCOUT,), ())
    assert invitations.pass_window(ONE, (), everyone, nobody)
    assert invitations.take_owed(SCOUT, 9) == (ONE,)


def test_waiting_doubles_up_to_a_bound() -> None:
    invitations = Invitations()
    invitations.open(ONE, (), ())
    waits = []
    for _ in range(40):
        waits.append(invitations.patience(ONE))
        invitations.pass_window(ONE, (), nobody, nobody)
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == 2**16


def test_the_reminded_are_asked_again_and_awaited_meanwhile() -> None:
    invitations = Invitations()
    invitations.open(ONE, (SCOUT,), ())
    invitations.remind(ONE)
    assert invitations.is_awaiting(ONE, everyone)
    assert invitations.take_owed(SCOUT, 9) == (ONE,)
    assert invitations.is_awaiting(ONE, everyone)


def test_who_has_left_is_neither_awaited_nor_owed_anything() -> None:
    invitations = Invitations()
    invitations.open(ONE, (SCOUT,), ())
    invitations.open(TWO, (), (SCOUT,))
    invitations.forget(SCOUT)
    assert not invitations.is_awaiting(ONE, everyone)
    assert not invitations.pass_window(TWO, (), everyone, nobody)
    assert invitations.take_owed(SCOUT, 9) == ()
