"""A model that is not ours, and may hang or crash: in a process of its own, that can be killed."""
