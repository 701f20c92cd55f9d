"""The page's files: the right types, asked for again each time, and small on the wire.

Rules: a file is answered with 304 while it has not changed. Text is compressed once per version of a file, outside the
loop, and kept; what is kept is bounded, the longest unused goes first. The two forms of a file have different ETags.
"""

import gzip
import os
from collections import OrderedDict
from pathlib import Path

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Receive, Scope, Send

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""As the page needs them, whatever the machine's own table says. All of them are text, which compresses well."""
KEPT_MAX = 256
KEPT_BYTES_MAX = 8 * 1024 * 1024
FILE_BYTES_MAX = 2 * 1024 * 1024
"""A larger file is served as it is: it would be read and compressed in one piece."""
LEVEL = 9

Version = tuple[str, int, int]
"""A file's path, its time of change in nanoseconds, and its size."""


class PageFiles(StaticFiles):
    """The files of a directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, check_dir=False)
        self.compressed = Compressed()

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        media_type = MEDIA_TYPES.get(Path(full_path).suffix, "")
        headers = {"cache-control": "no-cache"}
        if media_type:
            headers["vary"] = "Accept-Encoding"
        kind = media_type or "application/octet-stream"
        response = FileResponse(full_path, status_code, headers, kind, stat_result=stat_result)
        asked = Headers(scope=scope)
        if media_type and stat_result.st_size <= FILE_BYTES_MAX and _takes_gzip(asked) and "range" not in asked:
            version = (str(full_path), stat_result.st_mtime_ns, stat_result.st_size)
            response = CompressedResponse(response, self.compressed, version)
        if self.is_not_modified(response.headers, asked):
            return NotModifiedResponse(response.headers)
        return response


class Compressed:
    """The compressed files, by version."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Version, bytes] = OrderedDict()
        self._size_bytes = 0

    async def get(self, version: Version) -> bytes:
        """The file's compressed bytes. Raises OSError when it has gone meanwhile."""
        found = self._kept.get(version)
        if found is None:
            found = await anyio.to_thread.run_sync(_compress, version[0])
            self._keep(version, found)
        self._kept.move_to_end(version)
        return found

    def _keep(self, version: Version, content: bytes) -> None:
        if version not in self._kept:
            self._size_bytes += len(content)
        self._kept[version] = content
        while len(self._kept) > 1 and (len(self._kept) > KEPT_MAX or self._size_bytes > KEPT_BYTES_MAX):
            self._size_bytes -= len(self._kept.popitem(last=False)[1])


class CompressedResponse(FileResponse):
    """A file in its compressed form."""

    def __init__(self, plain: FileResponse, compressed: Compressed, version: Version) -> None:
        super().__init__(plain.path, plain.status_code, plain.headers, plain.media_type, stat_result=plain.stat_result)
        self._compressed = compressed
        self._version = version
        self.headers["etag"] = self.headers["etag"].rstrip('"') + '-gzip"'
        self.headers["content-encoding"] = "gzip"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = await self._compressed.get(self._version)
        self.headers["content-length"] = str(len(content))
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = b"" if scope["method"] == "HEAD" else content
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _takes_gzip(headers: Headers) -> bool:
    for part in headers.get("accept-encoding", "").split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _compress(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), LEVEL, mtime=0)
