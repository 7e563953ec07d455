"""Formulas: work and hardware in, seconds out. Each names its source and limits."""
