"""seatrial harness."""
