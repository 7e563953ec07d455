"""Studies on emulated networks: predicted first, then run; all rows in dated files."""
