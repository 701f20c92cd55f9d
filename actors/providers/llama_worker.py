"""The process of a local GGUF model: llama.cpp's own server, on a port of this machine that it tells its parent.

It is run by its path, so it stands on nothing of Agora. It reads its settings as the first line of its standard input
and ends when that input ends. Its memory has a bound that it sets before anything is loaded.
"""

import os
import resource
import sys

import msgspec
import xllamacpp


class Settings(msgspec.Struct):
    """The first line."""

    model: str
    model_path: str
    context_tokens: int
    parallel: int
    threads: int
    key: str
    memory_bytes_max: int
    has_embeddings: bool


def main() -> None:
    """Serve until the input ends."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    told = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints belongs to the log
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes_max, settings.memory_bytes_max))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings.model_path
    parameters.model_alias = {settings.model}
    parameters.n_ctx = settings.context_tokens * settings.parallel
    parameters.n_parallel = settings.parallel
    parameters.cpuparams.n_threads = settings.threads or max(1, (os.cpu_count() or 1) // 2)  # they spin: leave room
    parameters.cpuparams_batch.n_threads = parameters.cpuparams.n_threads
    parameters.n_threads_http = settings.parallel + 2
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [settings.key]
    parameters.warmup = False
    parameters.verbosity = 1
    parameters.embedding = settings.has_embeddings
    parameters.use_jinja = True
    server = xllamacpp.Server(parameters)
    os.write(told, msgspec.json.encode({"url": str(server.listening_address)}) + b"\n")
    while sys.stdin.buffer.readline():
        pass
    os._exit(0)  # threads of the server may be in the middle of an answer that nobody will read


if __name__ == "__main__":
    main()
