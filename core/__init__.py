"""The store: a tree of files on content-addressed blobs. Knows neither HTTP nor FUSE."""
