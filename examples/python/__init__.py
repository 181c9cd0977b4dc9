"""A caller in Python: `create_step` and what it needs, to be copied into a code base."""
