"""State that several replicas share, in Redis: what is known of customers, and answers by idempotency key."""
