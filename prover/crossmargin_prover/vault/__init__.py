"""A venue's private folder for one snapshot."""
