"""A language model of half a megabyte that knows nothing: random weights in GGUF, for a real engine to run.

It never ends by itself, so that each answer is as long as it may be. Or it can be made to call tools: then it would
rather end than speak, and rather call a tool than do anything else, so that an engine which forces a call by a grammar
gets one at once.
"""

from pathlib import Path

import gguf
import numpy as np

EMBEDDING, FEED_FORWARD, HEADS, BLOCKS = 64, 128, 4, 1
CONTEXT = 2_048
SEED = 7
TEMPLATE = (
    "{%- if tools %}{{- 'system: <tools>' }}"
    "{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}{{- '\n</tools>\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' and message.tool_calls %}{{- 'assistant: ' }}"
    "{%- if message.content %}{{- message.content }}{%- endif %}"
    "{%- for call in message.tool_calls %}{%- if call.function %}{%- set call = call.function %}{%- endif %}"
    '{{- \'<tool_call>\n{"name": "\' }}{{- call.name }}{{- \'", "arguments": \' }}'
    "{{- call.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}{{- '\n' }}"
    "{%- else %}{{- message.role + ': ' + message.content + '\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}"
)
"""Of a chat; the jinja that engines read from the model file. They learn from it how tools are called."""
CALL_MARK = b"<tool_call>\n"
END_TOKEN = 2
LIKING, PATIENCE = 30.0, 3.0
"""What all tokens have in common in their first dimension: a token that likes it is likely to come next."""


def write_tiny_model(path: Path, *, calls_tools: bool = False, has_pooling: bool = False) -> None:
    """Write the model: a one-block llama over bytes and signs, with words for what it will say."""
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
    writer.add_eos_token_id(END_TOKEN)
    writer.add_unk_token_id(0)
    writer.add_add_space_prefix(False)  # else an engine cannot follow a grammar from where the prompt ends
    writer.add_chat_template(TEMPLATE)
    if has_pooling:
        writer.add_pooling_type(gguf.PoolingType.MEAN)
    dice = np.random.default_rng(SEED)
    for name, shape in _tensors(len(tokens)):
        is_norm = name.endswith("norm.weight")
        values = np.ones(shape) if is_norm else dice.normal(0.0, 0.3, shape)
        if name == "token_embd.weight":
            values[:, 0] = LIKING if calls_tools else PATIENCE
        if name == "output.weight":
            values[:, 0] = 0.0
            values[END_TOKEN, 0], values[-1, 0] = (20.0, 10.0) if calls_tools else (-100.0, 0.0)
        if name.endswith(("attn_output.weight", "ffn_down.weight")) and not calls_tools:
            values[0] = 0.0  # what all have in common stays with them
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
    signs = ["\u2581".encode(), *(bytes([code]) for code in range(0x21, 0x7F))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * len(octets) + [gguf.TokenType.NORMAL] * (len(signs) + len(words) + 1)
    return special + octets + signs + words + [CALL_MARK], [int(kind) for kind in kinds]


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
