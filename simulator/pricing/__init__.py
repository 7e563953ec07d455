"""What an op costs here: kernels and messages of a body, as a `Price`."""
