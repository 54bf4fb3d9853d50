"""Real threads, locks and waits that are the same under gevent, gthread and plain Python."""
