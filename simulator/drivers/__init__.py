"""Drivers carry out one plan: virtual, live, Locust."""
