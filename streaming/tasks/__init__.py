"""Tasks: the registry, and one file per task that comes with the service."""
