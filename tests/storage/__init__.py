"""Tests of the storage floor, on real SQLite."""
