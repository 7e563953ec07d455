"""Which algorithm computes a convolution here, and how long does it take?"""
