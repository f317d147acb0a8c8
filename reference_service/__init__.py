"""The reference inference service."""
