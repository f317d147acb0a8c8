"""What was received, what was answered, and who is told."""
