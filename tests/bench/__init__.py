"""Benchmarks: each figure is measured beside its baseline, in the same run, on the same machine.

`python -m tests.bench [GROUP] [--json]`. Ratios hold between machines; absolute figures do not.
"""
