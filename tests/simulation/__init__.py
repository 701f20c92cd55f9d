"""Whole systems in virtual time, over many seeds, with faults."""
