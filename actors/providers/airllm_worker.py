"""The process of a large model that AirLLM runs layer by layer: JSON Lines in, JSON Lines out.

It is run by its path, so it stands on nothing of Agora. It reads its settings as the first line of its standard input,
then a request a line; it says `{"part": …}` for words as they come, and then `{"text": …}` with the sizes, or
`{"error": …}`. It ends when its input ends, even in the middle of an answer. Nothing is ever downloaded.
"""

import os
import resource
import sys
import threading
from collections.abc import Iterator

import airllm
import msgspec
import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer


class Settings(msgspec.Struct):
    """The first line."""

    model_path: str
    context_tokens: int
    memory_bytes_max: int


class Message(msgspec.Struct):
    """A turn of the conversation."""

    role: str
    content: str


class Asked(msgspec.Struct):
    """A request."""

    messages: tuple[Message, ...]
    tokens_max: int
    temperature: float | None = None
    stop: tuple[str, ...] = ()


class Parts(BaseStreamer):
    """Says words as they come. A character may be made of several tokens: it waits until it is whole."""

    def __init__(self, model: "Model", out: int) -> None:
        self._model = model
        self._out = out
        self._tokens: list[int] = []
        self._said = 0
        self._is_prompt = True

    def put(self, value: torch.Tensor) -> None:
        if self._is_prompt:
            self._is_prompt = False
            return
        self._tokens.extend(value.flatten().tolist())
        text = self._model.text_of(self._tokens)
        if not text.endswith("\ufffd") and len(text) > self._said:
            say(self._out, {"part": text[self._said :]})
            self._said = len(text)

    def end(self) -> None:
        pass


class Marks(StoppingCriteria):
    """Ends an answer at one of its marks."""

    def __init__(self, model: "Model", begun: int, marks: tuple[str, ...]) -> None:
        self._model = model
        self._begun = begun
        self._marks = marks

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        text = self._model.text_of(ids[0][self._begun :].tolist())
        return torch.tensor([any(mark in text for mark in self._marks)], device=ids.device)


class Model:
    """The model and its tokenizer."""

    def __init__(self, settings: Settings) -> None:
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
        self._model = airllm.AutoModel.from_pretrained(
            settings.model_path, device=device, max_seq_len=settings.context_tokens, prefetching=device != "cpu"
        )
        self._context_tokens = settings.context_tokens
        self._device = device

    def text_of(self, tokens: list[int]) -> str:
        """What tokens say."""
        return str(self._model.tokenizer.decode(tokens, skip_special_tokens=True))

    def answer(self, asked: Asked, out: int) -> dict[str, object]:
        """The answer, or what is wrong."""
        ids = self._ids(asked)
        tokens_in = int(ids.shape[-1])
        if tokens_in + asked.tokens_max > self._context_tokens:
            words = f"{tokens_in} and {asked.tokens_max} tokens do not fit into the context of {self._context_tokens}"
            return {"error": "overflow", "reason": words}
        sampling = {"do_sample": True, "temperature": asked.temperature} if asked.temperature else {"do_sample": False}
        criteria = StoppingCriteriaList([Marks(self, tokens_in, asked.stop)] if asked.stop else [])
        found = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=asked.tokens_max,
            use_cache=True,
            streamer=None if asked.stop else Parts(self, out),  # words after a mark must not be said
            stopping_criteria=criteria,
            **sampling,
        )
        tokens = found[0][tokens_in:].tolist()
        text = self.text_of(tokens)
        cut = min((text.find(mark) for mark in asked.stop if mark in text), default=len(text))
        is_whole = len(tokens) < asked.tokens_max or cut < len(text) or tokens[-1] in self._ends()
        finish = "stop" if is_whole else "length"
        return {"text": text[:cut], "finish": finish, "tokens_in": tokens_in, "tokens_out": len(tokens)}

    def _ids(self, asked: Asked) -> torch.Tensor:
        tokenizer = self._model.tokenizer
        turns = [{"role": message.role, "content": message.content} for message in asked.messages]
        if tokenizer.chat_template:
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        else:
            text = "".join(f"{turn['role']}: {turn['content']}\n" for turn in turns) + "assistant: "
        return tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"].to(self._device)

    def _ends(self) -> tuple[int, ...]:
        ends = self._model.generation_config.eos_token_id
        return tuple(ends) if isinstance(ends, list) else (ends,)


def say(out: int, what: dict[str, object]) -> None:
    """A line to the parent."""
    os.write(out, msgspec.json.encode(what) + b"\n")


def requests() -> Iterator[bytes]:
    """What the parent asks; the process ends with its input, whatever it is doing then."""
    lines: list[bytes] = []
    more = threading.Condition()

    def read() -> None:
        for line in iter(sys.stdin.buffer.readline, b""):
            with more:
                lines.append(line)
                more.notify()
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        with more:
            more.wait_for(lambda: lines)
            line = lines.pop(0)
        yield line


def main() -> None:
    """Serve until the input ends."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    out = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints belongs to the log
    resource.setrlimit(resource.RLIMIT_DATA, (settings.memory_bytes_max, settings.memory_bytes_max))
    model = Model(settings)
    say(out, {"ready": True})
    for line in requests():
        say(out, model.answer(msgspec.json.decode(line, type=Asked), out))


if __name__ == "__main__":
    main()
