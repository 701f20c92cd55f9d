"""Embeddings: texts as vectors, asked of the same cascade as completions."""

from bus.messages.base import AgentId, Command, CompletionId, Reply, TaskId
from bus.messages.completions import Privacy


class Embedding(Reply, frozen=True):
    """Texts as vectors, in their order."""

    wire_name = "embedding"

    completion: CompletionId
    vectors: tuple[bytes, ...]
    """Each in 32-bit floats, the lowest byte first."""
    provider: str
    model: str
    tokens_in: int
    cost_usd_micros: int
    elapsed_s: float
    attempts: tuple[str, ...]


class Embed(Command[Embedding], frozen=True):
    """Sent by who wants texts as vectors. `deadline_s` spans the whole cascade."""

    wire_name = "embedding.create"

    texts: tuple[str, ...]
    deadline_s: float
    agent: AgentId = AgentId("")
    task: TaskId = TaskId("")
    model: str = ""
    privacy: Privacy = "any"
    dimensions: int = 0
    """How long the vectors shall be, of models that can choose; 0 leaves it to the model."""
