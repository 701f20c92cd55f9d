"""A language model of half a megabyte that knows nothing: random weights in GGUF, for a real engine to run."""

from pathlib import Path

import gguf
import numpy as np

EMBEDDING, FEED_FORWARD, HEADS, BLOCKS = 64, 128, 4, 1
CONTEXT = 2_048
SEED = 7
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""Of a chat; the jinja that engines read from the model file."""


def write_tiny_model(path: Path) -> None:
    """Write the model: a one-block llama over bytes, with words for what it will say."""
    writer = gguf.GGUFWriter(path, "llama")
    tokens, kinds = _vocabulary()
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    dice = np.random.default_rng(SEED)
    for name, shape in _tensors(len(tokens)):
        is_norm = name.endswith("norm.weight")
        values = np.ones(shape) if is_norm else dice.normal(0.0, 0.3, shape)
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary() -> tuple[list[bytes], list[int]]:
    special = [b"<unk>", b"<s>", b"</s>"]
    octets = [f"<0x{number:02X}>".encode() for number in range(256)]
    words = [
        f"\u2581{first}{vowel}{last}".encode() for first in "bdfgklmnprstvz" for vowel in "aeiou" for last in "nrst"
    ]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * len(octets) + [gguf.TokenType.NORMAL] * len(words)
    return special + octets + words, [int(kind) for kind in kinds]


def _tensors(vocabulary: int) -> list[tuple[str, tuple[int, ...]]]:
    square = (EMBEDDING, EMBEDDING)
    return [
        ("token_embd.weight", (vocabulary, EMBEDDING)),
        ("output_norm.weight", (EMBEDDING,)),
        ("output.weight", (vocabulary, EMBEDDING)),
        *[
            (f"blk.{block}.{name}.weight", shape)
            for block in range(BLOCKS)
            for name, shape in (
                ("attn_norm", (EMBEDDING,)),
                ("attn_q", square),
                ("attn_k", square),
                ("attn_v", square),
                ("attn_output", square),
                ("ffn_norm", (EMBEDDING,)),
                ("ffn_gate", (FEED_FORWARD, EMBEDDING)),
                ("ffn_up", (FEED_FORWARD, EMBEDDING)),
                ("ffn_down", (EMBEDDING, FEED_FORWARD)),
            )
        ],
    ]
