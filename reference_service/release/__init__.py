"""Which version answers whom, and when it is taken back."""
