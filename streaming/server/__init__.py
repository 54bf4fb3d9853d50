"""One server: its parts, how it starts and drains, and the Flask extension in front of it."""
