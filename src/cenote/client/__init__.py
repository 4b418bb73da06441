"""The public faces: commands, keys, values and times to live."""
