"""How far off predictions are, row by row and file by file."""
