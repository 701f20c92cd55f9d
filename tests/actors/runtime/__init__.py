"""Tests of the actor runtime, in virtual time."""
