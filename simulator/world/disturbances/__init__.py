"""What can go wrong, one file per layer (S12): the world, its representation, its transport.

The fourth layer, the service itself, is disturbed by the drivers; a plan only marks the items it concerns.
"""
