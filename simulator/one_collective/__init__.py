"""Plans of one collective by itself, as nccl-tests would measure it."""
