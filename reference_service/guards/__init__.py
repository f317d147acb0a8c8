"""What keeps one request's trouble from becoming everybody's."""
