"""What was measured, by others and by us: scores, fits, real runs, this machine."""
