"""Floor 3: what learns."""
