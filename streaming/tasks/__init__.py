"""The tasks that come with the service, one file each, and what only they need."""
