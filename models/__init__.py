"""The neural networks being trained, each described once as a table of layers."""
