"""Jobs: submitted, found, cancelled, supervised, retained, repaired."""
