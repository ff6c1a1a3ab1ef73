"""The skorch nets, their settings and their outputs."""
