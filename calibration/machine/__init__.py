"""What this machine is measured to do, kernel by kernel and link by link."""
