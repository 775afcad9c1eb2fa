"""A small NBD client, for what libnbd is too polite for: requests that make no sense, and hundreds in flight."""
import collections
import socket
import struct

READ, WRITE, DISCONNECT, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
FUA = 1
GO, ACK, INFO = 7, 1, 3
OPTION, REPLY = 0x49484156454F5054, 0x3E889045565A9
REQUEST, SIMPLE = 0x25609513, 0x67446698

Reply = collections.namedtuple("Reply", "handle error data")


class NoExport(Exception):
    pass


class Nbd:
    """A connection. Requests may be in flight; their replies come in any order."""

    def __init__(self, path, export="source", timeout_s=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        self.reads = {}  # handle: bytes
        self.last = 0
        try:
            self.socket.connect(path)
            self.shake_hands(export.encode())
        except BaseException:
            self.socket.close()
            raise

    def shake_hands(self, name):
        self.receive(18)
        self.socket.sendall(struct.pack(">I", 3))  # fixed newstyle, no padding
        body = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
        self.socket.sendall(struct.pack(">QII", OPTION, GO, len(body)) + body)
        while True:
            _, _, kind, length = struct.unpack(">QIII", self.receive(20))
            body = self.receive(length)
            if kind == ACK:
                return
            if kind != INFO:
                raise NoExport(body.decode(errors="replace"))
            if body[:2] == b"\0\0":
                _, self.bytes, self.flags = struct.unpack(">HQH", body)

    def receive(self, count):
        parts = bytearray()
        while len(parts) < count:
            piece = self.socket.recv(min(count - len(parts), 1 << 20))
            if not piece:
                raise ConnectionError("the server hung up")
            parts += piece
        return bytes(parts)

    def send(self, command, offset=0, length=0, data=b"", flags=0):
        self.last += 1
        if command == READ:
            self.reads[self.last] = length
        self.socket.sendall(struct.pack(">IHHQQI", REQUEST, flags, command, self.last, offset,
                                        length or len(data)) + data)
        return self.last

    def reply(self):
        magic, error, handle = struct.unpack(">IIQ", self.receive(16))
        if magic != SIMPLE:
            raise ConnectionError(f"no reply of NBD: {magic:x}")
        expected = self.reads.pop(handle, 0)
        return Reply(handle, error, self.receive(expected) if error == 0 else b"")

    def ask(self, *request, **more):
        handle = self.send(*request, **more)
        reply = self.reply()
        if reply.handle != handle:
            raise ConnectionError("a reply to something else")
        return reply

    def read(self, offset, length):
        reply = self.ask(READ, offset, length)
        if reply.error:
            raise OSError(reply.error, f"read of {length} at {offset}")
        return reply.data

    def write(self, offset, data, flags=0):
        reply = self.ask(WRITE, offset, data=data, flags=flags)
        if reply.error:
            raise OSError(reply.error, f"write of {len(data)} at {offset}")

    def flush(self):
        reply = self.ask(FLUSH)
        if reply.error:
            raise OSError(reply.error, "flush")

    def read_all(self, piece=1 << 20):
        return b"".join(self.read(at, min(piece, self.bytes - at)) for at in range(0, self.bytes, piece))

    def close(self, politely=True):
        try:
            if politely:
                self.send(DISCONNECT)
        except OSError:
            pass
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(kind is None)
