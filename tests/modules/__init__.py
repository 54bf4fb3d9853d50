"""Modules for STREAMING_TASKS, good and bad."""
