"""Which server owns a key, and the way there. Today: one server, which owns them all."""
