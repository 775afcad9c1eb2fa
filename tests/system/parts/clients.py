"""Clients that misbehave, on the NBD and on the control socket: the array stays alive and right."""
import contextlib
import os
import random
import socket
import struct
import subprocess
import time

from harness import NBDKIT, Array, Control, Failure, check, equal, say, wait_until
from nbd import FUA, READ, TRIM, WRITE, ZEROES, Nbd, NoExport, REQUEST

PROGRAMS = ["flock"]
ROOT = False
MIB = 1 << 20
SIZE = 16 * MIB
EPERM, EINVAL, ENOSPC = 1, 22, 28
DISCONNECTS = 300
CLIENTS_MOST = 32


class Known:
    """The Source, and what has to be in it."""

    def __init__(self, array, dice):
        self.array, self.dice = array, dice
        self.data = bytearray(dice.randbytes(SIZE))
        with Nbd(array.nbd) as host:
            host.write(0, bytes(self.data))

    def check(self, after):
        self.array.is_alive()
        self.check_data(after)
        check(self.array.ask("status")["group"]["conditions"] == [], f"conditions after {after}")

    def check_data(self, after):
        with Nbd(self.array.nbd) as host:
            check(host.read_all() == self.data, f"the Source after {after}")


# ------------------------------------------------------------------- NBD clients

def odd_requests(known):
    """Parts of blocks, at odd places: read, changed and written as whole ones."""
    with Nbd(known.array.nbd) as host:
        for _ in range(300):
            length = known.dice.choice([1, 7, 511, 512, 4095, 4097, 65537, MIB + 1])
            at = known.dice.randrange(SIZE - length)
            kind = known.dice.randrange(4)
            if kind == 0:
                check(host.read(at, length) == known.data[at:at + length], f"read of {length} at {at}")
            elif kind == 1:
                data = known.dice.randbytes(length)
                host.write(at, data, known.dice.choice([0, FUA]))
                known.data[at:at + length] = data
            else:
                equal(host.ask(ZEROES, at, length).error, 0, "zeroes of parts of blocks")
                known.data[at:at + length] = bytes(length)
    known.check("odd requests")


def wrong_requests(known):
    """Each is refused, and the connection or the next one goes on."""
    for request, errors in [
            ((READ, SIZE, 4096), [EINVAL]), ((READ, SIZE - 4096, 8192), [EINVAL]),
            ((READ, (1 << 64) - 4096, 8192), [EINVAL]), ((READ, 1 << 63, 4096), [EINVAL]),
            ((READ, 0, 0xFFFFFFFF), [EINVAL]), ((WRITE, SIZE, 4096, bytes(4096)), [EINVAL, ENOSPC]),
            ((WRITE, SIZE - 1, 4096, bytes(4096)), [EINVAL, ENOSPC]),
            ((TRIM, SIZE, 4096), [EINVAL]), ((TRIM, 1, 0xFFFFFFFF), [EINVAL]),
            ((ZEROES, SIZE - 512, 4096), [EINVAL, ENOSPC]), ((99, 0, 4096), [EINVAL]),
            ((READ, 0, 4096, b"", 0xFF00), [EINVAL])]:
        with Nbd(known.array.nbd) as host:
            try:
                reply = host.ask(*request[:3], **dict(zip(("data", "flags"), request[3:])))
            except ConnectionError:
                continue
            check(reply.error in errors, f"{request[:3]} gave error {reply.error}")
    # Too much to take in, no request at all, a handshake of rubbish.
    for rubbish in (struct.pack(">IHHQQI", REQUEST, 0, WRITE, 1, 0, 0xFFFFFFFF) + bytes(MIB),
                    known.dice.randbytes(4096)):
        host = Nbd(known.array.nbd)
        with contextlib.suppress(OSError):
            host.socket.sendall(rubbish)
        host.close(politely=False)
    for _ in range(20):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as link:
            link.connect(known.array.nbd)
            link.sendall(known.dice.randbytes(500))
    for name in ("clone1", "clone9", "x" * 4000, "../source", "source\0"):
        with contextlib.suppress(ConnectionError):
            try:
                Nbd(known.array.nbd, name).close()
                raise Failure(f"there is an export '{name[:20]}'")
            except NoExport:
                pass
    known.check("wrong requests")


def open_files(array):
    return len(os.listdir(f"/proc/{array.pid()}/fd"))


def is_quiet(array, files):
    """False also while it starts again: see the end of disconnects()."""
    array.is_alive()
    try:
        return array.ask("status")["group"]["requests"] == 0 and open_files(array) <= files + 2
    except (OSError, ValueError):
        return False


def disconnects(known):
    """Hundreds go away with requests in flight, during a copy, too. What they wrote is there whole or not at all."""
    known.array.rate(8 * MIB)
    known.array.ask("synchronize", clone=1)
    before = open_files(known.array)
    zone = 64   # blocks at the begin: each holds the old or one of the new versions
    held = [{bytes(known.data[at * 4096:at * 4096 + 4096])} for at in range(zone)]
    for number in range(DISCONNECTS):
        with contextlib.suppress(OSError):
            host = Nbd(known.array.nbd)
            for _ in range(known.dice.randrange(1, 24)):
                block = known.dice.randrange(zone)
                if known.dice.random() < 0.5:
                    data = struct.pack("<Q", number) * 512
                    held[block].add(data)
                    host.send(WRITE, block * 4096, data=data)
                else:
                    host.send(READ, known.dice.randrange(SIZE - MIB), MIB)
            host.close(politely=False)
        if number % 50 == 49:
            wait_until(known.array.serves, "it serves after disconnects")
    wait_until(lambda: is_quiet(known.array, before), "nothing is in flight, and the connections are closed")
    with Nbd(known.array.nbd) as host:
        found = host.read(0, zone * 4096)
    for block in range(zone):
        check(found[block * 4096:block * 4096 + 4096] in held[block], f"block {block} is torn")
    known.data[:zone * 4096] = found
    known.array.rate(0)
    known.array.wait_for(1, "Synchronized")
    known.check(f"{DISCONNECTS} disconnects")
    # nbdkit 1.32 itself aborts now and then (README of the array); the array comes back with everything.
    with open(known.array.log, errors="replace") as log:
        known.restarts = log.read().count("starting it again")


def protected(known):
    """A Clone that is being restored from takes no writes; one that is mirrored, none at all."""
    array = known.array
    array.fracture(1)
    with Nbd(array.nbd, "clone1") as old:
        old.write(0, b"x" * 4096)
        array.ask("synchronize", clone=1)
        equal(old.ask(READ, 0, 4096).error, EPERM, "a read over a connection from before")
        equal(old.ask(WRITE, 0, data=bytes(4096)).error, EPERM, "a write over it")
    array.wait_for(1, "Synchronized")
    array.fracture(1)
    with Nbd(array.nbd, "clone1") as old, Nbd(array.nbd) as host:
        host.write(SIZE // 2, bytes(SIZE // 2))
        array.rate(2 * MIB)
        array.ask("restore", clone=1)
        equal(old.ask(WRITE, 0, data=bytes(4096)).error, EPERM, "a write to a protected Clone")
        check(old.read(0, SIZE) == known.data, "a protected Clone is readable")
        array.is_restoring()
    array.rate(0)
    array.wait_for(1, "Fractured")
    known.check("a restore")


def without_the_filter(known):
    """The plugin alone: what is no whole block is refused, and harms nobody."""
    array = known.array
    array.stop()
    link = array.nbd + ".bare"
    server = subprocess.Popen(["nbdkit", "-f", "-U", link, os.path.join(NBDKIT, "build", "plugin.so"),
                               f"dir={array.folder}"], stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(link), "the bare plugin serves")
    with Nbd(link) as host:
        for request in ((READ, 1, 4096), (READ, 0, 512), (TRIM, 4096, 100), (ZEROES, 1, 4096)):
            equal(host.ask(*request).error, EINVAL, f"{request} without the filter")
        equal(host.ask(WRITE, 512, data=bytes(4096)).error, EINVAL, "a write that is misaligned")
        check(host.read_all() == known.data, "the Source without the filter")
    server.terminate()
    equal(server.wait(60), 0, "exit status of the bare plugin")
    array.start()


# --------------------------------------------------------------- the control socket

def nonsense(dice):
    """Lines that are wrong in one way each, and the kind of answer."""
    return [b"", b"{}", b"[]", b"null", b"7", b'"status"', b"{", b'{"command": 7}', b'{"command": null}',
            b'{"command": "status"', b"\0\0\0", b"\xff\xfe", b'{"command": "\xc3\x28"}',
            b'{"command": "fracture"}', b'{"command": "fracture", "clone": "1"}',
            b'{"command": "fracture", "clone": 0}', b'{"command": "fracture", "clone": -1}',
            b'{"command": "fracture", "clone": 1.5}', b'{"command": "fracture", "clone": 4294967297}',
            b'{"command": "fracture", "clone": 99999999999999999999}',
            b'{"command": "fracture", "clone": 2, "label": 5}', b'{"command": "map", "clone": 1, "cells": 5000}',
            b'{"command": "rate", "cap_bytes_per_s": "all"}', b'{"command": "events", "after": []}',
            b"[" * 4000, b'{"a":' * 700, bytes(dice.choice(b"{}[]\",:abc0123 ") for _ in range(3000))]


def rubbish(known):
    """Each line of nonsense is answered, and so is the next one."""
    array = known.array
    for line in nonsense(known.dice):
        with Control(array.control) as control:
            control.send(line + b"\n" + b'{"command": "statistics"}\n')
            answer = control.answer()
            check(not answer["ok"] and answer["kind"] == "usage" and answer["text"],
                  f"{line[:60]} was answered with {answer}")
            check(control.answer()["ok"], f"the command after {line[:60]}")
    for _ in range(100):   # random bytes, cut off anywhere
        with contextlib.suppress(OSError), Control(array.control) as control:
            control.send(known.dice.randbytes(known.dice.randrange(1, 6000)))
            if known.dice.random() < 0.5:
                control.socket.shutdown(socket.SHUT_WR)
                control.file.read()
    with Control(array.control) as control:   # too long: one answer, and the end
        with contextlib.suppress(OSError):
            control.send(b"x" * 100000)
        check("too long" in control.answer()["text"], "a line that is too long")
        with contextlib.suppress(OSError):
            equal(control.file.read(), b"", "what comes after a line that is too long")
    with Control(array.control) as control:   # hundreds at once, in order
        control.send(b'{"command": "map", "clone": 1, "cells": 2}\n{"command": "dance"}\n' * 200)
        for _ in range(200):
            check(control.answer()["ok"] and not control.answer()["ok"], "the order of answers")
    known.check("rubbish on the control socket")


class Slow:
    """Clients that keep the array waiting. They begin before other steps, and end() after them."""

    def __init__(self, array):
        self.array = array
        self.begun = time.monotonic()
        self.half = Control(array.control)
        self.half.send(b'{"command":')
        self.silent = Control(array.control)
        self.deaf = Control(array.control)
        self.deaf.socket.settimeout(0.2)
        with contextlib.suppress(OSError):   # asks and asks, and reads no answer
            while True:
                self.deaf.send(b'{"command": "status"}\n' * 50)

    def end(self):
        """After ten seconds they are cut off."""
        for client in (self.half, self.silent):
            client.socket.settimeout(max(1, self.begun + 30 - time.monotonic()))
            with contextlib.suppress(ConnectionError):
                equal(client.socket.recv(100), b"", "a client that says nothing is cut off")
        wait_until(self.is_cut_off, "a client that does not listen is cut off", 60)
        for client in (self.half, self.silent, self.deaf):
            client.close()

    def is_cut_off(self):
        try:
            self.deaf.socket.send(b"\n")
        except TimeoutError:
            return False
        except OSError:
            return True
        return False


def crowd(known):
    """32 are served at once; more are told so. When they leave, others come in."""
    links = []
    for _ in range(CLIENTS_MOST * 2):
        links.append(Control(known.array.control))
    turned_away = 0
    for link in links:
        with contextlib.suppress(OSError):
            link.send(b'{"command": "rate"}\n')
        answer = link.answer()
        turned_away += not answer["ok"]
        check(answer["ok"] or "too many clients" in answer["text"], f"in a crowd: {answer}")
    equal(turned_away, CLIENTS_MOST, "clients that were turned away")
    for link in links:
        link.close()
    wait_until(lambda: known.array.serves(), "it serves again")
    known.check("a crowd")


def run(folder, seed):
    with Array(os.path.join(folder, "array"), size=str(SIZE)) as array:
        known = Known(array, random.Random(seed))
        for step in (odd_requests, wrong_requests, disconnects):
            step(known)
            say(step.__name__.replace("_", " "))
        slow = Slow(array)
        for step in (protected, rubbish):
            step(known)
            say(step.__name__.replace("_", " "))
        slow.end()
        say("slow clients")
        for step in (crowd, without_the_filter):
            step(known)
            say(step.__name__.replace("_", " "))
    return f"odd and wrong requests, {DISCONNECTS} disconnects (nbdkit aborted {known.restarts} times), rubbish, crowds"
