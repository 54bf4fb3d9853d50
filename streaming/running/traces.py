"""Traces (placeholder)."""

from __future__ import annotations


def carried() -> dict[str, str]:
    return {}
