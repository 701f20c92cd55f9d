"""Tests of the actors floor."""
