"""The read side: cursors, channels, streams, and the limits that they keep. No Flask."""
