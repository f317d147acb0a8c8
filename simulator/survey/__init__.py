"""A look at a service before any trial: what its target file lets seatrial prove, and a first draft of that file."""
