"""Wire formats and the ASGI edge."""
