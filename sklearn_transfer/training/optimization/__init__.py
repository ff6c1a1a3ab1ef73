"""Losses, optimizers, schedules of rates, and the solvers of convex problems."""
