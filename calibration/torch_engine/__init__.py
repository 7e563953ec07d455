"""The torch engine: a plan carried out for real on `torch.distributed`."""
