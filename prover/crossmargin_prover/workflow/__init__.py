"""The steps from a book to a bundle and its receipts: commit, prove, publish, deliver."""
