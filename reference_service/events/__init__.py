"""The inference protocol over a stream of events, on the same core."""
