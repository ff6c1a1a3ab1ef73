"""Words, look-up, subwords and compression."""
