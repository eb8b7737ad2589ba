"""What the mount answers to the kernel's first request. Layouts and numbers are those of linux/fuse.h."""

import struct

from fuse_mount.session import amended

ASYNC_READ, BIG_WRITES, HANDLE_KILLPRIV_V2 = 1 << 0, 1 << 5, 1 << 28
FUSE_INIT = 26


def request(flags: int) -> bytes:
    """fuse_in_header and fuse_init_in."""
    body = struct.pack("=IIII 4x 44x", 7, 38, 131072, flags)
    return struct.pack("=IIQQIIIHH", 40 + len(body), FUSE_INIT, 2, 0, 0, 0, 0, 0, 0) + body


def answer(flags: int) -> bytes:
    """fuse_out_header and fuse_init_out."""
    body = struct.pack("=IIII HHIIHHI 28x", 7, 38, 131072, flags, 128, 96, 1 << 20, 1, 256, 0, 0)
    return struct.pack("=IiQ", 16 + len(body), 0, 2) + body


def test_what_the_kernel_offers_and_libfuse_does_not_know_is_taken():
    offered = ASYNC_READ | BIG_WRITES | HANDLE_KILLPRIV_V2

    assert amended(answer(ASYNC_READ), request(offered)) == answer(ASYNC_READ | HANDLE_KILLPRIV_V2)


def test_what_the_kernel_does_not_offer_is_not_taken():
    assert amended(answer(ASYNC_READ), request(ASYNC_READ | BIG_WRITES)) == answer(ASYNC_READ)


def test_a_newer_libfuse_that_takes_it_itself_is_answered_with_as_well():
    taken = answer(HANDLE_KILLPRIV_V2)

    assert amended(taken, request(HANDLE_KILLPRIV_V2)) == taken


def test_a_refusal_is_passed_on_as_it_is():
    refusal = struct.pack("=IiQ", 16, -71, 2)

    assert amended(refusal, request(HANDLE_KILLPRIV_V2)) == refusal
