"""The house rules that a machine can check: sizes, names, walls, and documents in step with the code."""
