"""What every part of the system tests uses: checks, processes, the array and its control socket."""
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import time

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NBDKIT = os.path.join(PROJECT, "c-examples", "nbdkit")
CLONE_ARRAY = os.path.join(NBDKIT, "clone-array")
CLONECTL = os.path.join(NBDKIT, "build", "clonectl")
PATIENCE_S = 120  # for what takes a moment on a machine that does nothing else

checks = 0


class Failure(Exception):
    pass


def check(condition, text):
    """Counts, and ends the part if the condition does not hold."""
    global checks
    checks += 1
    if not condition:
        raise Failure(text)


def equal(found, expected, text):
    check(found == expected, f"{text}: found {found!r}, expected {expected!r}")


def say(text):
    print(f"    {time.monotonic() - started:6.1f} s  {text}", flush=True)


started = time.monotonic()


def wait_until(condition, text, patience_s=PATIENCE_S):
    """Returns what the condition gives once that is true."""
    end = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {patience_s} s in vain: {text}")
        time.sleep(0.02)


# ------------------------------------------------------------------ processes

def run(*command, expect=0, **more):
    """Runs a program to its end and returns its output. `expect=None`: any exit status will do."""
    more.setdefault("timeout", PATIENCE_S * 2)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", **more)
    if expect is not None:
        check(done.returncode == expect,
              f"`{' '.join(map(str, command))}` ended with {done.returncode}, not {expect}:\n{done.stdout}")
    return done.stdout


def end(process, how=signal.SIGTERM):
    """Ends a process and waits until it is gone."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Failure(f"{process.args[0]} did not end") from None


def sum_of(path, bytes_=None):
    """The checksum of a file, or of its beginning."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20 if bytes_ is None else min(1 << 20, bytes_)):
            digest.update(piece)
            if bytes_ is not None:
                bytes_ -= len(piece)
    return digest.hexdigest()


# ------------------------------------------------------------------- the array

class Refused(Failure):
    """The array said no."""

    def __init__(self, answer):
        super().__init__(json.dumps(answer))
        self.answer = answer


class Control:
    """A connection to the control socket."""

    def __init__(self, path, timeout_s=PATIENCE_S):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def send(self, line):
        self.socket.sendall(line)

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the array hung up")
        return json.loads(line)

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Array:
    """The array in a folder. It is started by start(), and stopped at the end of `with`."""

    def __init__(self, folder, *parameters, size="64M", clones=2):
        self.folder = folder
        self.arguments = ["--size", size, "--clones", str(clones), folder, *parameters]
        self.process = None
        self.nbd = os.path.join(folder, "nbd")
        self.control = os.path.join(folder, "control")
        self.log = folder + ".log"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if self.process is None:
            return
        if kind is not None:
            end(self.process, signal.SIGKILL)  # its nbdkit goes with it
        elif self.process.poll() is None:
            self.stop()

    def uri(self, export="source"):
        return f"nbd+unix:///{export}?socket={self.nbd}"

    def spawn(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([CLONE_ARRAY, *self.arguments], stderr=log, stdout=log,
                                            stdin=subprocess.DEVNULL, cwd=os.path.dirname(self.folder))

    def start(self):
        self.spawn()
        wait_until(self.serves, "the array serves")

    def serves(self):
        if self.process.poll() is not None:
            raise Failure(f"the array ended with {self.process.returncode}: {self.last_words()}")
        try:
            self.ask("status")
            return True
        except (OSError, ConnectionError):
            return False

    def refuses_to_start(self, *words):
        """Starts it, and expects that it says why not, with these words."""
        before = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.spawn()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            end(self.process, signal.SIGKILL)
            raise Failure(f"it started, and was to say {words}") from None
        with open(self.log, errors="replace") as log:
            log.seek(before)
            said = log.read()
        check(status > 0, f"exit status {status} of an array that cannot start; it said: {said}")
        for word in words:
            check(word in said, f"no '{word}' in what the array said: {said}")
        return said

    def last_words(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-2000:]

    def stop(self):
        end(self.process)
        equal(self.process.returncode, 0, f"exit status of the array ({self.last_words()})")

    def pid(self):
        """Of nbdkit; clone-array waits for it."""
        with open(os.path.join(self.folder, "pid"), encoding="ascii") as file:
            return int(file.read())

    def kill(self):
        os.kill(self.pid(), signal.SIGKILL)
        equal(self.process.wait(PATIENCE_S), 128 + signal.SIGKILL, "exit status of clone-array")

    def is_alive(self):
        check(self.process.poll() is None, f"the array is dead: {self.last_words()}")
        return True

    # What clonectl does, too: parts/clonectl.py tests that one.

    def ask(self, command, **arguments):
        with Control(self.control) as control:
            control.send(json.dumps({"command": command, **arguments}).encode() + b"\n")
            answer = control.answer()
        if not answer["ok"]:
            raise Refused(answer)
        return answer

    def clone(self, number):
        return self.ask("status")["clones"][number - 1]

    def state(self, number):
        return self.clone(number)["state"]

    def wait_for(self, number, state):
        wait_until(lambda: self.is_alive() and self.state(number) == state, f"clone{number} is {state}")

    def is_restoring(self, number=1):
        """While it does, what a test sees was not simply copied before."""
        clone = self.clone(number)
        check(clone["state"] == "Restoring" and clone["extents_left"] > 0,
              f"the copy was over too soon for this test: {clone}")
        return True

    def rate(self, cap):
        # The minimum is for busy hosts; a cap below it is refused.
        self.ask("rate", minimum_bytes_per_s=1 << 20, cap_bytes_per_s=cap)

    def synchronize(self, number=1):
        self.ask("synchronize", clone=number)
        self.wait_for(number, "Synchronized")

    def fracture(self, number=1, label=""):
        self.ask("fracture", clone=number, label=label)
        equal(self.state(number), "Fractured", "state after the fracture")


# ------------------------------------------------- an LU as a disk of this machine

class Disk:
    """An export as a block device: nbdfuse, and a loop device with direct I/O."""

    def __init__(self, array, folder, export="source"):
        self.array = array
        self.export = export
        self.file = os.path.join(folder, export + ".disk")
        self.loop = None
        self.fuse = None

    def __enter__(self):
        open(self.file, "w").close()
        pid = self.file + ".pid"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid)  # of the last one
        self.fuse = subprocess.Popen(["nbdfuse", "-C", "4", "-P", pid, self.file,
                                      self.array.uri(self.export)], stdin=subprocess.DEVNULL)
        wait_until(lambda: self.fuse.poll() is None and os.path.exists(pid) and os.path.getsize(pid),
                   "nbdfuse serves")
        self.loop = run("losetup", "--find", "--show", "--direct-io=on", "--sector-size", "4096",
                        self.file).strip()
        equal(run("losetup", "-n", "-O", "DIO", self.loop).strip(), "1", "direct I/O of the loop device")
        return self.loop

    def __exit__(self, *_):
        run("losetup", "-d", self.loop)
        wait_until(lambda: not run("losetup", "-n", "-O", "NAME", "-j", self.file).strip(),
                   "the loop device is gone")
        wait_until(lambda: subprocess.run(["fusermount3", "-u", self.file],
                                          stderr=subprocess.DEVNULL).returncode == 0,
                   "nbdfuse is unmounted")
        self.fuse.wait(PATIENCE_S)


@contextlib.contextmanager
def mounted(device, folder, *options):
    os.makedirs(folder, exist_ok=True)
    run("mount", *options, device, folder)
    try:
        yield folder
    finally:
        # Somebody may just be looking.
        wait_until(lambda: subprocess.run(["umount", folder], stderr=subprocess.DEVNULL).returncode == 0,
                   f"{folder} is unmounted", 20)
