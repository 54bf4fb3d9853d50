"""Measurements and trials against a real server; `scripts/bench` runs them."""
