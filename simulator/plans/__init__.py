"""How text becomes a plan: records, reading, checks, messages, and back to text."""
