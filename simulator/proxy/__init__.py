"""A TCP proxy that does harm on purpose, and counts it: what stands between a live service and its dependency."""
