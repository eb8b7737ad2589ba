"""The API for applications, below /api/v1 (docs/api.md)."""
