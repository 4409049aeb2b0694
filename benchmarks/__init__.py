"""Benchmarks: measurements for people, never tests."""
