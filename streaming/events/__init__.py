"""Events: the vocabulary, the envelope, the fold, and the bytes on the wire. No I/O."""
