"""Benchmarks that asv keeps the history of."""
