"""Samples from disk: tokens in one file, or arrays and images in a folder a class.

What a run reads is chosen before any process starts (`choosing`), and is the same
whatever the split; a rank then reads its own samples only.
"""
