"""The version of all packages of the project, which are released together; the build reads it from here."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
