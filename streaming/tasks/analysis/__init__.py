"""What a table of figures says: pure functions, without I/O and without a job."""
