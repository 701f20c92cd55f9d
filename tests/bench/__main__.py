"""The command `python -m tests.bench [GROUP]... [--json] [--readme] [--quick]`: a line per figure."""

import sys
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated

import anyio
import msgspec
import typer

from tests.bench import (
    approvals,
    journal,
    journal_load,
    journal_size,
    live,
    market,
    money,
    router,
    router_peers,
    runtime,
    runtime_size,
)
from tests.bench.harness import Figure, Scale
from tests.house.parts import README, table, with_part

Group = Callable[[Scale], AsyncIterator[Figure]]


def _together(*parts: Group) -> Group:
    async def figures(scale: Scale) -> AsyncIterator[Figure]:
        for part in parts:
            async for figure in part(scale):
                yield figure

    return figures


def _beside(library: str, module: str) -> Group:
    """What else could do the same work, where it is installed."""
    if _is_installed(library):
        group: Group = import_module(module).figures
        return group

    async def figures(scale: Scale) -> AsyncIterator[Figure]:
        sys.stderr.write(f"  {library} is not installed; `pip install .[bench]` puts it beside ours\n")
        nothing: tuple[Figure, ...] = ()
        for figure in nothing:
            yield figure

    return figures


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False


GROUPS: dict[str, Group] = {
    "runtime": _together(
        runtime.figures,
        runtime_size.figures,
        _beside("pykka", "tests.bench.runtime_pykka"),
        _beside("autogen_core", "tests.bench.runtime_autogen"),
    ),
    "journal": _together(
        journal.figures,
        journal_load.figures,
        journal_size.figures,
        _beside("langgraph.checkpoint.sqlite", "tests.bench.journal_langgraph"),
        _beside("eventsourcing", "tests.bench.journal_eventsourcing"),
    ),
    "router": _together(router.figures, router_peers.figures),
    "market": market.figures,
    "money": money.figures,
    "live": live.figures,
    "approvals": approvals.figures,
}


def main(
    groups: Annotated[list[str] | None, typer.Argument(help=f"Any of: {', '.join(GROUPS)}.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    into_readme: Annotated[bool, typer.Option("--readme", help="Put the figures into README.md.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Show that every benchmark runs; judge nothing.")] = False,
) -> None:
    """Measure Agora beside what else could do the same work."""
    chosen = groups or list(GROUPS)
    if unknown := [name for name in chosen if name not in GROUPS]:
        raise typer.BadParameter(f"no group is called {unknown[0]!r}; there are {', '.join(GROUPS)}")
    if into_readme and (quick or groups):
        raise typer.BadParameter("the README shows full runs of all groups")
    figures = anyio.run(_report, chosen, as_json, Scale(quick))
    if into_readme:
        README.write_text(with_part(README.read_text(encoding="utf-8"), "numbers", _table(figures)), encoding="utf-8")


async def _report(chosen: list[str], as_json: bool, scale: Scale) -> list[Figure]:
    figures: list[Figure] = []
    for group in chosen:
        if not as_json:
            print(f"{group}:", flush=True)
        async for figure in GROUPS[group](scale):
            figures.append(figure)
            print(msgspec.json.encode(figure).decode() if as_json else _line(figure), flush=True)
    judged = [figure.met for figure in figures if figure.met is not None]
    if scale.is_quick and not as_json:
        print("in small: each benchmark ran; what it costs, only a full run tells")
    elif judged and not as_json:
        print(f"{sum(judged)} of {len(judged)} aims met")
    return figures


def _line(figure: Figure) -> str:
    """Such as `tell  1.62 M messages/s, baseline 349 k, ratio 4.64, aim 2: met`."""
    text = f"  {figure.name:<52} {_number(figure.ours):>8} {figure.unit}"
    if figure.baseline is not None and figure.ratio is not None:
        text += f", baseline {_number(figure.baseline)}, ratio {figure.ratio:.2f}"
    if figure.aim is not None:
        text += f", aim {figure.aim:.3g}"
    if figure.met is not None:
        text += ": met" if figure.met else ": MISSED"
    return text


def _table(figures: list[Figure]) -> str:
    rows = [
        (
            figure.name,
            f"{_number(figure.ours)} {figure.unit}",
            _number(figure.baseline) if figure.baseline is not None else "",
            f"{figure.ratio:.2f}" if figure.ratio is not None else "",
            f"{figure.aim:.3g}" if figure.aim is not None else "",
            {True: "yes", False: "no", None: ""}[figure.met],
        )
        for figure in figures
    ]
    return table(("figure", "ours", "baseline", "ratio", "aim", "met"), rows)


def _number(value: float) -> str:
    for bound, suffix in ((1e6, " M"), (1e3, " k")):
        if value >= bound:
            return f"{value / bound:.3g}{suffix}"
    return f"{value:.3g}"


if __name__ == "__main__":
    typer.run(main)
