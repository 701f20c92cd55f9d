"""Tests of Lightning backends."""
