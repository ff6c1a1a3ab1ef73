"""Floor 1: what is known before."""
