"""The virtual driver: in process, deterministic, days in seconds."""
