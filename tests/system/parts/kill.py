"""SIGKILL of the array under load, every third time with the loss of what was not flushed."""
import json
import os
import random
import time

from harness import Array, Control, check, equal, say, wait_until
from nbd import Nbd
from tagged import BLOCK, Content, Host
from volatile import VolatileFiles

PROGRAMS = ["nbdfuse", "fusermount3"]
ROOT = True
KILLS = 60
LU_BYTES = 16 << 20
CLONES = (1, 2)
FILES = ["source", "clone1", "clone2", "metadata"]
CAP = 24 << 20   # bytes a second: copies outlive the moment of the kill


class Sent:
    """The writes of which nobody knows on which side of a Restore's start they are."""

    def __init__(self, host):
        self.writes = [(block, write) for what, *rest in host.flying.values() if what == "write"
                       for block, write in rest[0].items()]

    def add(self, block, write):
        self.writes.append((block, write))


class Operation:
    """A command whose answer may never come."""

    def __init__(self, life, host, kind, clone):
        self.life, self.host, self.kind, self.clone = life, host, kind, clone
        self.generation = life.status["group"]["restore_generation"]
        self.cut = host.content.as_of()
        self.sent = Sent(host)
        self.windows = [self.cut, self.sent]
        self.answer = None
        self.control = Control(life.array.control)
        self.socket = self.control.socket
        self.control.send(json.dumps({"command": kind, "clone": clone}).encode() + b"\n")

    def receive(self):
        try:
            self.answer = self.control.answer()
        except (OSError, ValueError):
            self.answer = {"ok": False, "killed": True}
            return
        check(self.answer["ok"], f"{self.kind} of clone{self.clone}: {self.answer}")
        self.apply(self.life.array.ask("status"))

    def apply(self, status):
        """The model follows what the array says it has done."""
        life = self.life
        if status["group"]["restore_generation"] != self.generation:
            restored = life.clones[self.clone].as_of()
            for block, write in self.sent.writes:
                restored.add(block, type(write)(write.version, write.sent))
            life.source = self.host.content = restored
        for clone in CLONES:
            state = status["clones"][clone - 1]["state"]
            if state == "Fractured" and life.clones[clone] is None:
                life.clones[clone] = self.cut
            elif state not in ("Fractured", "Restoring"):
                life.clones[clone] = None

    def settle(self, status):
        """After the next start, if the answer did not come."""
        self.control.close()
        if self.answer is None or "killed" in self.answer:
            self.apply(status)


class Life:
    """An array, what it may hold, and what happens to it."""

    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.array = Array(os.path.join(folder, "array"), "extent=32k", size=str(LU_BYTES))
        self.volatile = VolatileFiles(self.array.folder, os.path.join(folder, "cache"), FILES)
        os.mkdir(self.volatile.scratch)
        self.source = Content(LU_BYTES // BLOCK)
        self.clones = {clone: None for clone in CLONES}
        self.counts = {}
        self.status = None
        self.writes = 0

    def verify(self):
        """Reads every LU that may be read, and compares each block."""
        for name, content in [("source", self.source), *((f"clone{c}", self.clones[c]) for c in CLONES)]:
            if content is None:
                continue
            with Nbd(self.array.nbd, name) as link:
                versions = content.found(name, link.read_all())
            if name != "source":
                content.check_order(name, versions)
            content.collapse(versions)

    def states(self):
        return [clone["state"] for clone in self.status["clones"]]

    def choose(self):
        """What may be done now, mostly something."""
        states = self.states()
        able = [("idle", None)]
        for clone, state in zip(CLONES, states):
            if state == "OutOfSync":
                able += [("synchronize", clone)] * 4
            elif state == "Synchronized":
                able += [("fracture", clone)] * 4
            elif state == "Fractured" and "Restoring" not in states and "Synchronizing" not in states:
                able += [("restore", clone)] * 3 + [("synchronize", clone)]
            elif state == "Fractured" and "Restoring" not in states:
                able += [("synchronize", clone)]
        return self.random.choice(able)

    def once(self, number):
        """Start, verify, load, an operation, and death."""
        is_volatile = number % 3 == 2
        if is_volatile:
            self.volatile.start()
        self.array.start()
        self.status = self.array.ask("status")
        self.verify()
        if self.random.random() < 0.5:
            self.let_it_end()
        host = Host(self.array, self.source, self.random.random(), is_volatile)
        host.work_until(time.monotonic() + self.random.uniform(0, 0.15))
        self.status = self.array.ask("status")
        kind, clone = self.choose()
        operation = None if kind == "idle" else Operation(self, host, kind, clone)
        left_s = self.random.uniform(0, 0.02) if self.random.random() < 0.4 else self.random.uniform(0, 0.5)
        host.work_until(time.monotonic() + left_s, operation)
        self.die(host, is_volatile)
        before = self.status
        self.count(kind, is_volatile, operation)
        self.after_death(operation, before)

    def die(self, host, is_volatile):
        first = self.random.random() < 0.5
        if is_volatile and first:
            self.volatile.lose_power()
        self.array.kill()
        self.volatile.lose_power()
        host.drain()
        self.writes += host.acknowledged_writes
        self.volatile.clear_away()

    def count(self, kind, is_volatile, operation):
        runs = {"Restoring", "Synchronizing"} & set(self.states())
        what = kind if kind != "idle" else min(runs, default="idle").lower()
        self.counts[what] = self.counts.get(what, 0) + 1
        if is_volatile:
            self.counts["cache lost"] = self.counts.get("cache lost", 0) + 1
        if operation is not None and operation.answer is None:
            self.counts["unanswered"] = self.counts.get("unanswered", 0) + 1

    def after_death(self, operation, before):
        """What was going on goes on."""
        self.array.start()
        self.status = self.array.ask("status")
        if operation is not None:
            operation.settle(self.status)
        else:
            for clone in CLONES:
                was, is_ = before["clones"][clone - 1]["state"], self.states()[clone - 1]
                # A mirror copies again what was on its way (R54).
                next_ = {"Restoring": "Fractured", "Synchronizing": "Synchronized",
                         "Synchronized": "Synchronizing"}.get(was, was)
                check(is_ in (was, next_), f"clone{clone} was {was}, and is {is_} after the kill")
        self.verify()
        self.array.stop()

    def let_it_end(self):
        """Without a cap and without a kill: everything comes to its end, and mirrors equal the Source."""
        self.array.rate(0)
        for clone in CLONES:
            wait_until(lambda clone=clone: self.array.state(clone) not in ("Restoring", "Synchronizing"),
                       "copies end")
            if self.array.state(clone) == "Synchronized":
                self.array.ask("verify", clone=clone)
                wait_until(lambda clone=clone: "Verifying" not in self.array.clone(clone)["conditions"],
                           "the verification ends")
                equal(self.array.clone(clone)["mismatched_extents"], 0, f"clone{clone} differs from the Source")
        self.status = self.array.ask("status")
        self.verify()
        self.array.rate(CAP)


def run(folder, seed):
    life = Life(folder, seed)
    with life.array as array:
        array.rate(CAP)
        array.stop()
        for number in range(KILLS):
            life.once(number)
            if number % 10 == 9:
                say(f"{number + 1} kills, {life.writes} acknowledged writes")
        array.start()
        life.let_it_end()
        array.stop()
    return f"{KILLS} kills, {life.writes} acknowledged writes: " + \
        ", ".join(f"{what} {count}" for what, count in sorted(life.counts.items()))
