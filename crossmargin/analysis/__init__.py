"""Questions about a model and a book: stress, comparison, replay."""
