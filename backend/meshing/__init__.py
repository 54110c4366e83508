"""From a field to a finished mesh: iso-surface, clean-up, simplification, UVs and texture baking."""
