"""The fixtures of the HTTP tests: a store behind the application, in this process."""

from tests.davstore.conftest import admin, alone, bob, data_template, dav, opened

__all__ = ["admin", "alone", "bob", "data_template", "dav", "opened"]
