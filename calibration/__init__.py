"""What was measured: published measurements, fits, and later the real runs."""
