"""Parts of README.md that programs write: each stands between two markers.

A part named `events` stands between `<!-- events -->` and `<!-- end of events -->`.
"""

from collections.abc import Sequence

from tests.house.tree import ROOT

README = ROOT / "README.md"

Row = tuple[str, ...]


def with_part(readme: str, name: str, text: str) -> str:
    """The README with another text in that part."""
    before, start, rest = readme.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    assert end, f"README.md has no place for {name}"
    return f"{before}{start}{text}{end}{after}"


def table(head: Row, rows: Sequence[Row]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
