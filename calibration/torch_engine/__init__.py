"""The torch engine: a plan run for real by processes of torch.distributed.

Ranks are processes (`world`), forked from one that has loaded torch (`nursery`).
"""
