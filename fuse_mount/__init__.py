"""The Linux FUSE mount. It is not built yet."""
