"""Evaluate a margin policy over a book, exactly, and explain the result."""
