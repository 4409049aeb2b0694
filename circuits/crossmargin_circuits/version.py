"""The common version of all packages of the project; the build reads it from here."""

__all__ = ["VERSION"]

VERSION = "0.2.0"
