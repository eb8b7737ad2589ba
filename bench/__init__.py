"""How fast the server answers, measured over sockets."""
