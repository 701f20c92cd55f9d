"""The harness: medians of turns taken, honest ratios, and verdicts only where something was measured."""

import msgspec

from tests.bench.harness import ROUNDS, Aim, Figure, Sample, Scale, compare_rates, figure, take_turns


async def test_ours_and_the_baseline_take_turns_and_alternate_who_is_first() -> None:
    order: list[str] = []

    async def ours() -> Sample:
        order.append("ours")
        return Sample(1, 1.0, 1.0)

    async def baseline() -> Sample:
        order.append("baseline")
        return Sample(1, 1.0, 1.0)

    mine, theirs = await take_turns(ours, baseline, Scale())
    assert len(mine) == len(theirs) == ROUNDS
    assert order[:4] == ["baseline", "ours", "ours", "baseline"]


async def test_a_rate_is_the_median_of_its_rounds() -> None:
    walls = iter((1.0, 100.0, 2.0, 4.0, 0.5))

    async def ours() -> Sample:
        return Sample(100, next(walls), 1.0)

    async def baseline() -> Sample:
        return Sample(100, 4.0, 2.0)

    figures = [item async for item in compare_rates("copies", "copies", ours, baseline, scale=Scale(), aim=Aim(2.0))]
    assert [(item.ours, item.baseline, item.ratio, item.met) for item in figures] == [
        (50.0, 25.0, 2.0, True),
        (100.0, 50.0, 2.0, None),
    ]


def test_a_cost_meets_its_aim_from_below() -> None:
    assert figure("cost", "ms", 1.2, 1.0, scale=Scale(), aim=Aim(1.3, "at_most")).met is True
    assert figure("cost", "ms", 1.4, 1.0, scale=Scale(), aim=Aim(1.3, "at_most")).met is False


def test_without_a_baseline_the_aim_is_for_the_figure_itself() -> None:
    found = figure("lag", "ms", 8.0, None, scale=Scale(), aim=Aim(10.0, "at_most"))
    assert (found.ratio, found.met) == (None, True)


def test_the_quick_scale_measures_little_and_judges_nothing() -> None:
    scale = Scale(is_quick=True)
    assert (scale.rounds, scale.count(100_000), scale.count(50)) == (1, 1_000, 1)
    assert figure("rate", "1/s", 1.0, 2.0, scale=scale, aim=Aim(1.0)) == Figure(
        "rate", "1/s", 1.0, 2.0, 0.5, None, None
    )


def test_a_line_of_json_has_the_agreed_keys() -> None:
    line = msgspec.json.encode(Figure("tell", "messages/s", 2.0, 1.0, 2.0, 2.0, True))
    assert line == (b'{"name":"tell","unit":"messages/s","ours":2.0,"baseline":1.0,"ratio":2.0,"aim":2.0,"met":true}')
