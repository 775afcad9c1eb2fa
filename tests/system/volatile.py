"""A disk with a volatile cache beneath each file of an array: what was not flushed is gone when it is killed."""
import os
import signal
import subprocess

from harness import PATIENCE_S, wait_until


class VolatileFiles:
    """nbdkit's cache filter on each file, mounted by nbdfuse in the place of that file."""

    def __init__(self, folder, scratch, names):
        self.folder, self.scratch, self.names = folder, scratch, names
        self.caches, self.fuses = [], []

    def start(self):
        for name in self.names:
            path = os.path.join(self.folder, name)
            # Another name of the same file: nbdfuse covers only the first one.
            beneath = os.path.join(self.scratch, name + ".beneath")
            server = os.path.join(self.scratch, name + ".nbd")
            for old in (beneath, server, server + ".pid", server + ".fuse"):
                if os.path.exists(old):
                    os.unlink(old)
            os.link(path, beneath)
            self.caches.append(subprocess.Popen(
                ["nbdkit", "-f", "-U", server, "-P", server + ".pid", "--filter=cache", "file", beneath,
                 "cache=writeback"], env=dict(os.environ, TMPDIR=self.scratch)))
            wait_until(lambda server=server: os.path.exists(server + ".pid"), "the cache serves")
            self.fuses.append(subprocess.Popen(
                ["nbdfuse", "-P", server + ".fuse", path, "--unix", server], stderr=subprocess.DEVNULL))
        for name in self.names:
            wait_until(lambda name=name: os.path.exists(os.path.join(self.scratch, name + ".nbd.fuse")),
                       "nbdfuse serves")

    def lose_power(self):
        for cache in self.caches:
            cache.send_signal(signal.SIGKILL)

    def clear_away(self):
        for name in self.names:
            subprocess.run(["fusermount3", "-uz", os.path.join(self.folder, name)], stderr=subprocess.DEVNULL)
        for process in self.caches + self.fuses:
            process.kill()
            process.wait(PATIENCE_S)
        self.caches, self.fuses = [], []
        for name in self.names:
            wait_until(lambda name=name: not os.path.ismount(os.path.join(self.folder, name)), "unmounted")
