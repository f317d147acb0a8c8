"""What was decided, in an order that cannot be changed unseen."""
