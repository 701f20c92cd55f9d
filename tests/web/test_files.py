"""The page's files on the wire: types, validators, and the compressed form."""

import gzip
import os
from pathlib import Path

from tests.web.support import Response, World, call
from web.app import build_app
from web.files import FILE_BYTES_MAX, KEPT_MAX, Compressed

TEXT = b"export const words = 'and again and again and again';\n" * 40


async def asked(directory: Path, name: str, **headers: str) -> Response:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return await call(build_app(World().edge, static=directory), "GET", f"/static/{name}", headers=named)


async def test_text_is_compressed_for_who_takes_it(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_bytes(TEXT)
    packed = await asked(tmp_path, "app.js", accept_encoding="br, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-length"] == str(len(packed.body))
    assert gzip.decompress(packed.body) == TEXT
    assert len(packed.body) < len(TEXT) / 4


async def test_who_does_not_take_it_gets_the_file_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_bytes(TEXT)
    for accepted in ("", "br", "gzip;q=0", "identity, gzip; q=0.0"):
        plain = await asked(tmp_path, "app.js", accept_encoding=accepted)
        assert "content-encoding" not in plain.headers
        assert plain.body == TEXT
        assert plain.headers["vary"] == "Accept-Encoding"


async def test_each_form_is_known_by_its_own_tag(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_bytes(TEXT)
    packed = await asked(tmp_path, "app.js", accept_encoding="gzip")
    plain = await asked(tmp_path, "app.js")
    assert packed.headers["etag"] != plain.headers["etag"]
    again = await asked(tmp_path, "app.js", accept_encoding="gzip", if_none_match=packed.headers["etag"])
    assert (again.status, again.body) == (304, b"")


async def test_a_changed_file_is_compressed_anew(tmp_path: Path) -> None:
    file = tmp_path / "app.js"
    file.write_bytes(TEXT)
    app = build_app(World().edge, static=tmp_path)
    first = await call(app, "GET", "/static/app.js", headers={"accept-encoding": "gzip"})
    file.write_bytes(b"changed")
    os.utime(file, ns=(1, 1))
    headers = {"accept-encoding": "gzip", "if-none-match": first.headers["etag"]}
    second = await call(app, "GET", "/static/app.js", headers=headers)
    assert (second.status, gzip.decompress(second.body)) == (200, b"changed")


async def test_what_is_not_text_is_not_compressed(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(TEXT)
    picture = await asked(tmp_path, "picture.png", accept_encoding="gzip")
    assert "content-encoding" not in picture.headers
    assert picture.headers["content-type"] == "application/octet-stream"


async def test_a_large_file_is_served_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "large.js").write_bytes(b" " * (FILE_BYTES_MAX + 1))
    assert "content-encoding" not in (await asked(tmp_path, "large.js", accept_encoding="gzip")).headers


async def test_the_index_is_compressed_too(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(TEXT)
    app = build_app(World().edge, static=tmp_path)
    page = await call(app, "GET", "/", headers={"accept-encoding": "gzip"})
    assert gzip.decompress(page.body) == TEXT


async def test_only_so_many_versions_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "app.js"
    file.write_bytes(TEXT)
    compressed = Compressed()
    first = await compressed.get((str(file), 0, len(TEXT)))
    for changed in range(1, KEPT_MAX + 1):
        await compressed.get((str(file), changed, len(TEXT)))
    assert await compressed.get((str(file), 0, len(TEXT))) is not first
