"""What a person gets to read of a result."""
