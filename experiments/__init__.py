"""Benchmarks, measured beside their peers, and the demo: `python -m experiments NAME`."""
