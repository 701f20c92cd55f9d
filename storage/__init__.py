"""Bytes that survive: the journal and its checkpoints, on SQLite. A library; it knows the bus and nothing else."""
