"""How many completions may find out what a provider takes now, and that they do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.cascade import Candidate, CascadeOptions, Try, choose
from actors.rules.trials import Trials, lately

NAMES = "abcd"


class World:
    """Providers that take as long as they take, asked one after the other or beside each other."""

    def __init__(self, options: CascadeOptions, takes_s: dict[str, float]) -> None:
        self.options = options
        self.trials = Trials(options)
        self.takes_s = takes_s
        self.known_s = dict.fromkeys(takes_s, 0.0)
        self.asked_s = dict.fromkeys(takes_s, -math.inf)
        self.answered_s = dict.fromkeys(takes_s, -math.inf)
        self.ends: list[tuple[float, str, bool]] = []
        self.now_s = 0.0

    def ask(self) -> Try:
        self.trials.earn()
        under_way = {name for _, name, _ in self.ends}
        candidates = [
            Candidate(
                name,
                latency_s=self.known_s[name],
                unasked_s=0.0 if name in under_way else self.now_s - self.asked_s[name],
            )
            for name in self.takes_s
        ]
        choice = choose(candidates, (), 0, 1e6, self.options, 0.5, trial_after_s=self.trials.after_s)
        assert isinstance(choice, Try)
        if choice.is_trial:
            assert choice.provider not in under_way, "one trial at a time"
            self.trials.take()
        self.asked_s[choice.provider] = self.now_s
        self.ends.append((self.now_s + self.takes_s[choice.provider], choice.provider, choice.is_trial))
        return choice

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        for _, name, _ in [one for one in self.ends if one[0] <= self.now_s]:
            age_s = self.now_s - self.answered_s[name]
            self.known_s[name] = lately(self.known_s[name], age_s, self.takes_s[name], self.options.latency_stale_s)
            self.answered_s[name] = self.now_s
        self.ends = [one for one in self.ends if one[0] > self.now_s]


def options(trials: float, stale_s: float = 60.0) -> CascadeOptions:
    return CascadeOptions(policy="latency", latency_stale_s=stale_s, latency_trials=trials)


@given(
    st.lists(st.floats(0.1, 200.0), min_size=1, max_size=4),
    st.lists(st.floats(0.0, 500.0), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.3, 1.0]),
)
def test_no_more_than_the_given_part_of_completions_is_a_trial_whatever_the_providers_do(
    takes_s: list[float], gaps_s: list[float], ratio: float
) -> None:
    world = World(options(ratio), dict(zip(NAMES, takes_s, strict=False)))
    begun: dict[str, float] = {}
    trials = 0
    for number, gap_s in enumerate(gaps_s, 1):
        choice = world.ask()
        if choice.is_trial:
            trials += 1
            assert world.now_s - begun[choice.provider] >= 60.0, "only old news is looked into"
        begun[choice.provider] = world.now_s
        assert trials <= (1.0 + ratio * number if ratio else 0.0) + 1e-6
        world.wait(gap_s)


@given(st.permutations(NAMES), st.sampled_from([0.05, 0.1, 0.5, 1.0]), st.sampled_from([0.5, 7.0, 100.0]))
def test_who_was_slow_and_is_the_quickest_now_is_found_again(speeds: list[str], ratio: float, gap_s: float) -> None:
    world = World(options(ratio), {name: 0.1 * 2**place for place, name in enumerate(speeds)})
    for _ in NAMES:
        world.ask()
        world.wait(2.0)
    assert world.ask().provider == speeds[0]
    world.wait(2.0)
    world.takes_s[speeds[-1]] = 0.01
    wanted = 2 * len(NAMES) * max(1.0 / ratio, 60.0 / gap_s)
    for _ in range(math.ceil(wanted)):
        world.ask()
        world.wait(gap_s)
    world.wait(2.0)
    assert world.known_s[speeds[-1]] == pytest.approx(0.01, abs=0.02)
    world.trials = Trials(options(0.0))
    assert world.ask().provider == speeds[-1]


@given(st.floats(0.01, 1e3), st.floats(0.0, 1e4), st.floats(0.01, 1e3))
def test_an_answer_counts_for_the_more_the_older_the_one_before_it_is(
    known_s: float, age_s: float, new_s: float
) -> None:
    now = lately(known_s, age_s, new_s, 60.0)
    least, most = sorted((known_s, new_s))
    assert least - 1e-9 <= now <= most + 1e-9
    later = lately(known_s, age_s + 5.0, new_s, 60.0)
    assert abs(later - new_s) <= abs(now - new_s) + 1e-9
    if age_s >= 60.0:
        assert now == pytest.approx(new_s)


def test_the_first_answer_is_all_that_is_known_and_a_change_shows_within_some_ten() -> None:
    assert lately(0.0, math.inf, 3.0, 60.0) == 3.0
    known_s = 1.0
    for _ in range(10):
        known_s = lately(known_s, 0.1, 11.0, 60.0)
    assert 9.0 < known_s < 10.0


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.25])
def test_a_store_that_was_used_up_fills_with_so_many_completions(ratio: float) -> None:
    trials = Trials(options(ratio))
    assert trials.after_s == 60.0
    trials.take()
    for _ in range(round(1 / ratio)):
        assert trials.after_s == math.inf
        trials.earn()
    assert trials.after_s == 60.0


def test_with_no_part_of_completions_nobody_is_tried_twice() -> None:
    trials = Trials(options(0.0))
    trials.earn()
    assert trials.after_s == math.inf
