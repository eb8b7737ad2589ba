from tests.davstore.conftest import admin, alone, bob, data_template, dav, opened

__all__ = ["admin", "alone", "bob", "data_template", "dav", "opened"]
