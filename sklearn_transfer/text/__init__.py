"""Floor 2: texts to numbers."""
