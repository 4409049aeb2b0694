"""The public bundle and the private receipt: reading, judgement and report."""
