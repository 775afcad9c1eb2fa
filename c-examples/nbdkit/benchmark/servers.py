"""What serves the files: the array, and its limits. All of them are nbdkit, with the same options."""
import contextlib
import json
import os
import socket
import subprocess

from basics import BUILD, COPIES, EXTENT_BYTES, FOLDER, PIECE_BYTES, Failure, end_process, wait_until

UNLIMITED = 1 << 36  # bytes per second
HOSTS_FIRST = 32 << 20  # the minimum that the array has if nothing is said


class Server:
    """An nbdkit on the file `source` of a folder. It is started by `with`."""
    process = None

    def __init__(self, folder, who, export=""):
        self.folder = folder
        self.who = who
        self.socket = os.path.join(folder, who.replace(" ", "-") + ".nbd")
        self.log = self.socket + ".log"
        self.uri = f"nbd+unix:///{export}?socket={self.socket}"

    def command(self):
        raise NotImplementedError

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.serves, f"{self.who} serves")
        return self

    def serves(self):
        if self.process.poll() is not None:
            with open(self.log, errors="replace") as log:
                raise Failure(f"{self.who} ended with {self.process.returncode}: {log.read()[-2000:]}")
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.socket) == 0

    def __exit__(self, *_):
        end_process(self.process)


NBDKIT = ["nbdkit", "--foreground", "--exit-with-parent", "--threads", "32", "--filter=blocksize"]


class FilePlugin(Server):
    """nbdkit's file plugin. It has no O_DIRECT: cache=none drops what the page cache has got."""

    def __init__(self, folder):
        super().__init__(folder, "file plugin")

    def command(self):
        return [*NBDKIT, "--unix", self.socket, "file", os.path.join(self.folder, "source"), "cache=none",
                "fadvise=random"]


class Direct(Server):
    """The file I/O of the array without the library: direct.c."""

    def __init__(self, folder, bytes_):
        super().__init__(folder, "direct")
        self.bytes = bytes_

    def command(self):
        return [*NBDKIT, "--unix", self.socket, os.path.join(BUILD, "direct.so"), "dir=" + self.folder,
                "name=source", f"bytes={self.bytes}"]


class Array(Server):
    """The array, with one Clone."""

    def __init__(self, folder, bytes_, *parameters):
        super().__init__(folder, "array", "source")
        self.bytes = bytes_
        self.parameters = parameters

    def command(self):
        return [os.path.join(FOLDER, "clone-array"), "--unix", self.socket, "--size", str(self.bytes),
                "--clones", "1", self.folder, *self.parameters]

    def ask(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.path.join(self.folder, "control"))
            client.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            answer = json.loads(client.makefile().readline())
        if not answer["ok"]:
            raise Failure(f"{command}: {answer}")
        return answer

    def clone(self):
        return self.ask("status")["clones"][0]

    def is_in(self, state):
        return self.clone()["state"] == state

    def synchronize_and_fracture(self):
        self.ask("synchronize", clone=1)
        wait_until(lambda: self.is_in("Synchronized"), "the Clone is synchronized")
        self.ask("fracture", clone=1)

    def rate(self, minimum):
        self.ask("rate", cap_bytes_per_s=0, minimum_bytes_per_s=minimum)


class Restore:
    """Copies Clone to Source: the array does."""

    def __init__(self, array, bytes_per_s):
        self.array = array
        array.rate(bytes_per_s)

    def counters(self):
        statistics = self.array.ask("statistics")
        return statistics["sync_extents"], statistics["cod_extents"]

    def begin(self):
        self.counted = self.counters()
        self.array.ask("restore", clone=1)

    def is_over(self):
        return self.array.is_in("Fractured")

    def copied_bytes(self):
        """In the background, and on demand. How many extents are left would say it late: it is counted when the
        Source was flushed."""
        return [(now - then) * EXTENT_BYTES for now, then in zip(self.counters(), self.counted)]

    def finish(self):
        """As quickly as it goes."""
        self.array.rate(UNLIMITED)
        wait_until(self.is_over, "the restore is over")


class Copy:
    """Copies Clone to Source: the loop of copy.c, on the same files. The array knows nothing of it; that the
    extents differ is still true for its maps."""

    def __init__(self, folder, bytes_per_s, bytes_):
        paced = 0 if bytes_per_s == UNLIMITED else bytes_per_s
        self.command = [os.path.join(BUILD, "copy"), os.path.join(folder, "clone1"),
                        os.path.join(folder, "source"), str(bytes_), str(PIECE_BYTES), str(COPIES), str(paced)]

    def begin(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)

    def is_over(self):
        return self.process.poll() is not None

    def result(self):
        """How many bytes, in how many seconds."""
        output, _ = self.process.communicate(timeout=300)
        if self.process.returncode != 0:
            raise Failure("the copy loop failed")
        copied, seconds = output.split()
        return int(copied), float(seconds)

    def copied_bytes(self):
        end_process(self.process)
        return [self.result()[0], 0]

    def finish(self):
        pass
