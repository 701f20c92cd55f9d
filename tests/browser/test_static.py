"""What can be said of the page's files without opening them in a browser."""

import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from bus.messages.catalogue import EVENTS
from tests.browser.chrome import STATIC

VENDOR = STATIC / "vendor"
TSC = shutil.which("tsc")
TSC_OPTIONS = (
    "--noEmit",
    "--allowJs",
    "--checkJs",
    "--skipLibCheck",
    "--target",
    "es2023",
    "--module",
    "es2022",
    "--moduleResolution",
    "bundler",
    "--lib",
    "es2023,dom,dom.iterable",
)
OWN = tuple(path for path in sorted(STATIC.rglob("*.js")) if VENDOR not in path.parents)
SENTENCES = (STATIC / "sentences.js").read_text() + (STATIC / "rarely.js").read_text()


class Inline(HTMLParser):
    """Collects what a content policy without `unsafe-inline` would not run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag == "style" or (tag == "script" and "src" not in names) or "style" in names:
            self.found.append(tag)
        self.found += [name for name in names if name.startswith("on")]


def test_every_event_type_has_a_sentence() -> None:
    said = set(re.findall(r'^ {2}"([a-z_]+\.[a-z_]+)":', SENTENCES, re.MULTILINE))
    assert {event.wire_name for event in EVENTS} - said == set()


def test_no_sentence_is_about_an_event_that_does_not_exist() -> None:
    said = set(re.findall(r'^ {2}"([a-z_]+\.[a-z_]+)":', SENTENCES, re.MULTILINE))
    assert said - {event.wire_name for event in EVENTS} == {"page.gap"}


@pytest.mark.slow
def test_the_types_that_the_comments_give_hold() -> None:
    if TSC is None:
        pytest.skip("tsc is not installed: `npm install --global typescript` brings it")
    checked = subprocess.run([TSC, *TSC_OPTIONS, str(STATIC / "app.js")], capture_output=True, text=True, check=False)
    assert checked.stdout == ""


def test_vendored_files_are_byte_for_byte_as_published() -> None:
    listed = dict(
        re.findall(r"([\w.-]+\.(?:js|css)) \(.*, ([0-9a-f]{64})$", (VENDOR / "VERSIONS").read_text(), re.MULTILINE)
    )
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.suffix in (".js", ".css")
    }
    assert found == listed


def test_each_vendored_library_comes_with_its_licence() -> None:
    named = set(re.findall(r"LICENSE\.[\w-]+", (VENDOR / "VERSIONS").read_text()))
    assert named == {path.name for path in VENDOR.glob("LICENSE.*")}


def test_nothing_in_the_page_is_ever_parsed_as_markup() -> None:
    parsers = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(")
    assert [path.name for path in OWN if parsers.search(path.read_text())] == []


def test_the_document_has_no_inline_script_or_style() -> None:
    reader = Inline()
    reader.feed((STATIC / "index.html").read_text())
    assert reader.found == []


def test_every_import_is_a_relative_path_to_a_file_that_is_there() -> None:
    missing = [
        f"{path.name}: {name}"
        for path in OWN
        for name in re.findall(r'(?:^import .* from |import\()"([^"]+)"', path.read_text(), re.MULTILINE)
        if not name.startswith(".") or not (path.parent / name).is_file()
    ]
    assert missing == []
