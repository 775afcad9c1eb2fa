"""A small NBD client: for what fio is too slow to start."""
import socket
import struct

from basics import Failure

OPTION_MAGIC = 0x49484156454F5054
REQUEST = struct.Struct(">IHHQQI")
READ, WRITE, DISCONNECT, FLUSH = range(4)
NO_ZEROES = 2
IN_FLIGHT = 16


class Client:
    def __init__(self, path, export):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.receive(18)  # the greeting
        name = export.encode()
        self.socket.sendall(struct.pack(">IQII", 1 | NO_ZEROES, OPTION_MAGIC, 1, len(name)) + name)
        self.bytes = struct.unpack(">QH", self.receive(10))[0]

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise Failure("the NBD server hung up")
            data += piece
        return bytes(data)

    def send(self, kind, offset, count, data=b""):
        self.socket.sendall(REQUEST.pack(0x25609513, 0, kind, 0, offset, count) + data)

    def reply(self):
        _, error, _ = struct.unpack(">IIQ", self.receive(16))
        if error != 0:
            raise Failure(f"NBD error {error}")

    def read(self, offset, count):
        self.send(READ, offset, count)
        self.reply()
        return self.receive(count)

    def write_many(self, writes):
        """Pairs of offset and data, several in flight. It does not matter whose reply comes first."""
        for begin in range(0, len(writes), IN_FLIGHT):
            batch = writes[begin:begin + IN_FLIGHT]
            for offset, data in batch:
                self.send(WRITE, offset, len(data), data)
            for _ in batch:
                self.reply()

    def flush(self):
        self.send(FLUSH, 0, 0)
        self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.send(DISCONNECT, 0, 0)
        self.socket.close()
