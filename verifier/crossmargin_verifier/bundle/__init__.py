"""The public bundle and the private receipt: read, judged and put into words."""
