"""The HTTP API beside the transports."""
