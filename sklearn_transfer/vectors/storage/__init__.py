"""Files, memory maps and caches."""
