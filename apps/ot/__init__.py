"""Optimal transport without a plan in memory."""
