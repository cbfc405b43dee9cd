"""Learning a policy from logged decisions. Needs JAX: serving imports nothing of this."""
