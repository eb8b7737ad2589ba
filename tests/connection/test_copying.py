"""Who is on this machine."""

import socket

import pytest

from davstore.copying import is_near


def connected(client: str, server: str) -> bool:
    """Whether a server at one address takes a client at another for one on its machine."""
    with socket.create_server((server, 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address, source_address=(client, 0)), listening.accept()[0] as sock:
            return is_near(sock)


@pytest.mark.parametrize(("client", "found"), [("127.0.0.1", True), ("127.0.0.2", False)])
def test_a_client_with_the_servers_own_address_is_near(client: str, found: bool) -> None:
    assert connected(client, "127.0.0.1") == found


def test_the_other_end_of_a_unix_socket_is_near() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert is_near(one)


def test_a_client_that_has_left_is_not() -> None:
    with socket.socket() as sock:
        assert not is_near(sock)
