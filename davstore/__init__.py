"""The HTTP front end: WebDAV, and what else the store is asked over HTTP."""
