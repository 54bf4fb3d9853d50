"""The ways to watch a job. Each is a position in the log and an encoder, and a blueprint."""
