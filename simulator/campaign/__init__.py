"""Many seeds of many scenarios: how often a service is refused, and by which seeds."""
