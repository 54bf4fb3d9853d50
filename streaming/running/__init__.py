"""The write side: tasks, the context that they get, attempts, and the runners of attempts."""
