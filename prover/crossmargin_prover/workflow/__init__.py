"""The way from a book to a bundle, step by step: commit, prove, publish, deliver."""
