"""Runners: where and when jobs run."""
