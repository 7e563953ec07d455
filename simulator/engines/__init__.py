"""Engines turn a priced workload into start and end times."""
