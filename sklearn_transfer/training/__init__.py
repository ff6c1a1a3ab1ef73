"""Training loops, optimizers, policies and losses."""
