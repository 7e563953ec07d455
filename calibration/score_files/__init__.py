"""Measurements of others, read: rows, each beside the plan that it was made with."""
