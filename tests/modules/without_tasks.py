"""No task here."""
