"""A host that tags every block it writes, and knows what an LU may hold after its array was killed."""
import random
import select
import struct
import time

from harness import check
from nbd import FLUSH, FUA, READ, WRITE, Nbd

BLOCK = 4096
MOST_BLOCKS = 8
DEPTH = 6
CONNECTIONS = 2


def tagged(block, version):
    return struct.pack("<QQ", block, version) * (BLOCK // 16) if version else bytes(BLOCK)


def versions_in(data, first):
    """The version in each block; a block that is torn or somebody else's ends the test."""
    found = []
    for at in range(0, len(data), BLOCK):
        block = first + at // BLOCK
        owner, version = struct.unpack_from("<QQ", data, at)
        check(data[at:at + BLOCK] == tagged(block, version),
              f"block {block} is torn or another's: it says block {owner}, version {version}")
        found.append(version)
    return found


class Write:
    """A version of a block: when it was sent and acknowledged, as numbers of one count of all such events."""
    __slots__ = ("version", "sent", "acknowledged")

    def __init__(self, version, sent, acknowledged=None):
        self.version, self.sent, self.acknowledged = version, sent, acknowledged


class Content:
    """What an LU may hold: for each block the versions, oldest first, one of which is there."""

    def __init__(self, blocks):
        self.blocks = [[Write(0, 0, 0)] for _ in range(blocks)]
        self.unsure = set()  # blocks with more than one

    def add(self, block, write):
        self.blocks[block].append(write)
        self.unsure.add(block)

    def settle(self, before):
        """What was acknowledged up to this event is on the medium: nothing older comes back."""
        for block in list(self.unsure):
            writes = self.blocks[block]
            newest = max((at for at, write in enumerate(writes)
                          if write.acknowledged is not None and write.acknowledged <= before), default=0)
            del writes[:newest]
            if len(writes) == 1:
                self.unsure.discard(block)

    def as_of(self):
        """A copy of what is there now: what is acknowledged and what is on its way."""
        other = Content(0)
        other.blocks = []
        for writes in self.blocks:
            newest = max((at for at, write in enumerate(writes) if write.acknowledged is not None), default=0)
            other.blocks.append(writes[newest:])
        other.unsure = {block for block in self.unsure if len(other.blocks[block]) > 1}
        return other

    def found(self, what, data):
        """Compares what was read after a start. It stays like that from then on."""
        versions = versions_in(data, 0)
        for block, version in enumerate(versions):
            allowed = [write.version for write in self.blocks[block]]
            check(version in allowed,
                  f"{what}: block {block} holds version {version}, allowed are {allowed}")
        return versions

    def collapse(self, versions):
        # Other contents may share the old ones.
        for block in self.unsure:
            self.blocks[block] = [Write(versions[block], versions[block], versions[block])]
        self.unsure = set()

    def check_order(self, what, versions):
        """A point in time has no write without those that were acknowledged before it was sent."""
        there = {block: next(at for at, write in enumerate(self.blocks[block]) if write.version == versions[block])
                 for block in self.unsure}
        latest = max((self.blocks[block][at].sent for block, at in there.items()), default=0)
        for block, at in there.items():
            for write in self.blocks[block][at + 1:]:
                check(write.acknowledged is None or write.acknowledged >= latest,
                      f"{what}: block {block} lacks version {write.version}, but holds a later write elsewhere")


class Host:
    """Reads, writes and flushes at random; one request at a time for each block."""

    def __init__(self, array, content, seed, is_volatile):
        self.random = random.Random(seed)
        self.content = content
        self.volatile = is_volatile
        self.links = [Nbd(array.nbd) for _ in range(CONNECTIONS)]
        self.flying = {}   # (link, handle): what it is
        self.busy = set()
        self.operation = None
        self.epoch = 0     # where it changes what is read is not known
        self.acknowledged_writes = 0

    events = 0   # of all hosts: versions are never used twice
    errors = 0

    @classmethod
    def event(cls):
        cls.events += 1
        return cls.events

    def submit(self, link):
        count = self.random.randint(1, MOST_BLOCKS)
        first = self.random.randrange(len(self.content.blocks) - count)
        dice = self.random.random()
        blocks = range(first, first + count)
        if dice < 0.06:
            self.flying[link, link.send(FLUSH)] = ("flush", self.event())
        elif not self.busy.isdisjoint(blocks):
            return
        elif dice < 0.2:
            self.busy.update(blocks)
            self.flying[link, link.send(READ, first * BLOCK, count * BLOCK)] = ("read", first, blocks, self.epoch)
        else:
            flags = FUA if dice > 0.93 else 0
            writes = {block: Write(self.event(), self.events) for block in blocks}
            self.busy.update(blocks)
            for block, write in writes.items():
                self.content.add(block, write)
                for other in self.operation.windows if self.operation else ():
                    other.add(block, write)
            data = b"".join(tagged(block, write.version) for block, write in writes.items())
            self.flying[link, link.send(WRITE, first * BLOCK, data=data, flags=flags)] = ("write", writes, flags)

    def take(self, link):
        reply = link.reply()
        what, *rest = self.flying.pop((link, reply.handle))
        if what == "flush" and not reply.error:
            self.content.settle(rest[0])
        elif what == "read":
            self.busy.difference_update(rest[1])
            if not reply.error and self.operation is None and self.epoch == rest[2]:
                for block, version in zip(rest[1], versions_in(reply.data, rest[0])):
                    allowed = [write.version for write in self.content.blocks[block]]
                    check(version in allowed,
                          f"a read of block {block} gave version {version}, allowed are {allowed}")
        elif what == "write":
            self.busy.difference_update(rest[0])
            if not reply.error:
                self.acknowledged(rest[0], rest[1])
        if reply.error:
            Host.errors += 1

    def acknowledged(self, writes, flags):
        now = self.event()
        self.acknowledged_writes += 1
        for block, write in writes.items():
            write.acknowledged = now
            if flags & FUA or not self.volatile:
                held = self.content.blocks[block]
                at = next((at for at, other in enumerate(held) if other is write), None)
                if at is not None:
                    del held[:at]
                    if len(held) == 1:
                        self.content.unsure.discard(block)

    def work_until(self, time_s, operation=None):
        """Load, until then. Replies of the operation are taken in meanwhile."""
        if operation is not None:
            self.operation = operation
            self.epoch += 1
        while (left := time_s - time.monotonic()) > 0:
            for link in self.links:
                for _ in range(DEPTH - sum(1 for other, _ in self.flying if other is link)):
                    self.submit(link)
            waiting = {link.socket: link for link in self.links}
            control = [operation.socket] if operation and operation.answer is None else []
            ready, _, _ = select.select([*waiting, *control], [], [], min(left, 0.05))
            for one in ready:
                if one in waiting:
                    self.take(waiting[one])
                else:
                    operation.receive()
                    self.operation = None
                    self.epoch += 1

    def drain(self):
        """Takes in what the dead array had still sent: it is acknowledged, too."""
        for link in self.links:
            try:
                while True:
                    self.take(link)
            except OSError:
                link.close(politely=False)

    def finish(self):
        """Ends in order: everything is acknowledged and flushed."""
        for link in self.links:
            while any(other is link for other, _ in self.flying):
                self.take(link)
        before = self.events
        self.links[0].flush()
        self.content.settle(before)
        for link in self.links:
            link.close()
