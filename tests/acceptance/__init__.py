"""Agora as its users meet it: processes, real documents, signals, and what goes wrong on a bad day."""
