"""The accounts of a venue and their integer records."""
