#!/usr/bin/env python3
"""bench/socket_map.py COMMAND...: runs COMMAND in a control group of its own whose TCP connections over IPv4 pass by the network stack: programs in the
kernel keep both ends of each in a map of sockets, and put what one end sends into the other's queue at once.
bench/socket_map.py --slow-reader: how much such a connection takes from a writer whose peer does not read, beside a connection without.

For decision 7 (docs/decisions): what moving bytes between sockets in the kernel would save, and what it breaks. `bench/socket_map.py bench/run tcp`
measures all proxies with it. Needs root, a control group hierarchy of version 2, and Linux 5.10."""
import argparse
import contextlib
import ctypes
import os
import pathlib
import platform
import select
import socket
import struct
import subprocess
import sys
import tempfile

BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_DETACH = 0, 5, 8, 9  # linux/bpf.h
SOCKHASH, SOCK_OPS, SK_MSG = 18, 13, 16
CGROUP_SOCK_OPS, SK_MSG_VERDICT = 3, 7
SYSCALL = {"x86_64": 321, "aarch64": 280}


def bpf(command, *parts):
    attributes = b"".join(parts).ljust(144, b"\0")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(SYSCALL[platform.machine()], command, buffer, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return result


# --- instructions, as in linux/filter.h

def op(code, to=0, source=0, offset=0, value=0):
    return struct.pack("<BBhi", code, source << 4 | to, offset, value)


def load(to, source, offset): return op(0x61, to, source, offset)                # 32 bits
def store(offset, source): return op(0x63, 10, source, offset)                   # 32 bits, on the stack
def copy(to, source): return op(0xBF, to, source)
def put(to, value): return op(0xB7, to, value=value)
def big_endian(to): return op(0xDC, to, value=32)
def call(helper): return op(0x85, value=helper)


END = op(0x95)


def with_map(sockets, flags, helper):
    """helper(context in register 6, the map, the key at the top of the stack, flags)."""
    return [copy(1, 6), op(0x18, 2, 1, value=sockets), op(0), copy(3, 10), op(0x07, 3, value=-8), put(4, flags), call(helper)]


def program(kind, attached, code):
    text, licence = ctypes.create_string_buffer(b"".join(code)), ctypes.create_string_buffer(b"GPL")
    return bpf(BPF_PROG_LOAD, struct.pack("<IIQQ", kind, len(b"".join(code)) // 8, ctypes.addressof(text), ctypes.addressof(licence)), bytes(44), struct.pack("<I", attached))


@contextlib.contextmanager
def own_group():
    """A control group with this process in it."""
    mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
    if not mounts:
        sys.exit("bench/socket_map.py: no control group hierarchy of version 2 is mounted")
    before = next(line.split("::")[1] for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    home = pathlib.Path(mounts[0] + before)
    group = pathlib.Path(tempfile.mkdtemp(prefix="socket-map-", dir=home))
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield group
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


@contextlib.contextmanager
def socket_map(group):
    """Both ends of connections that begin within `group` from now on are joined. The key of an end: its own port, and its peer's."""
    sockets = bpf(BPF_MAP_CREATE, struct.pack("<IIIII", SOCKHASH, 8, 4, 65536, 0))
    # struct bpf_sock_ops: op 0, remote_port 64 (big endian), local_port 68 (as it is). 4, 5: a connection was made, or taken.
    begins = program(SOCK_OPS, CGROUP_SOCK_OPS, [
        copy(6, 1), load(2, 1, 0), op(0x15, 2, offset=1, value=4), op(0x55, 2, offset=12, value=5),
        load(2, 6, 68), store(-8, 2), load(2, 6, 64), big_endian(2), store(-4, 2), *with_map(sockets, 0, 70), put(0, 1), END])
    # struct sk_msg_md: remote_port 60, local_port 64. The answer is "pass" in any case: one whose peer is not in the map goes the usual way.
    sends = program(SK_MSG, SK_MSG_VERDICT, [
        copy(6, 1), load(2, 6, 60), big_endian(2), store(-8, 2), load(2, 6, 64), store(-4, 2), *with_map(sockets, 1, 71), put(0, 1), END])
    descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    bpf(BPF_PROG_ATTACH, struct.pack("<IIII", sockets, sends, SK_MSG_VERDICT, 0))
    bpf(BPF_PROG_ATTACH, struct.pack("<IIII", descriptor, begins, CGROUP_SOCK_OPS, 0))
    try:
        yield
    finally:
        bpf(BPF_PROG_DETACH, struct.pack("<IIII", descriptor, begins, CGROUP_SOCK_OPS, 0))
        for one in (descriptor, begins, sends, sockets):
            os.close(one)


def slow_reader(name):
    """A writer and a peer that does not read, until the writer is told to wait, at most 1 GB; then whether reading tells it to go on, and splice."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as writer, server.accept()[0] as reader:
        writer.setblocking(False)
        taken, end = 0, "no end to it"
        try:
            while taken < 10**9:
                taken += writer.send(bytes(65536))
        except OSError as error:
            end = error.strerror
        print(f"{name}: {taken / 1e6:.1f} MB taken without a reader, then: {end}")
        reader.settimeout(1)
        left = taken
        while left > 0 and (got := len(reader.recv(1 << 20))) > 0:
            left -= got
        writer.setblocking(True)
        writer.send(b"hello")
        into, out = os.pipe()
        if not select.select([reader], [], [], 1)[0]:
            sys.exit(f"{name}: what was sent did not come")
        reader.setblocking(False)
        try:
            print(f"{name}: splice() of a socket that is readable gives {os.splice(reader.fileno(), out, 100)} of 5 bytes")
        except BlockingIOError as error:
            print(f"{name}: splice() of a socket that is readable gives: {error.strerror}")
        os.close(into)
        os.close(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow-reader", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args()
    if options.slow_reader == bool(options.command):
        parser.error("either a command or --slow-reader")
    if options.slow_reader:
        slow_reader("without a map")
    with own_group() as group, socket_map(group):
        if options.slow_reader:
            slow_reader("with a map")
        else:
            sys.exit(subprocess.run(options.command, check=False).returncode)


if __name__ == "__main__":
    main()
