"""The parts of the benchmark. Each one takes a sample of everybody who takes part, one after the other; who is
first changes from round to round."""
import os
import subprocess
import time

from basics import EXTENT_BYTES, Failure, say, wait_until
from load import Load, measure, write_all
from nbd import Client
from servers import HOSTS_FIRST, UNLIMITED, Array, Copy, Direct, Restore

BLOCK_BYTES = 4096


def in_turn(people, number):
    """The order of this round."""
    first = number % len(people)
    return people[first:] + people[:first]


# ------------------------------------------------------------ restore without load

def restore_alone(samples, array, number):
    """Everything differs."""
    def copy_loop():
        copy = Copy(array.folder, UNLIMITED, array.bytes)
        copy.begin()
        return copy.result()

    def restore():
        return array.bytes, restore_all(array)

    for who, run in in_turn([("copy loop", copy_loop), ("array", restore)], number):
        write_all(array, array.bytes)
        copied, seconds = run()
        if who == "array" and number == 0:
            compare(array)
        samples.add("alone", who, "MB/s", copied / seconds / 1e6)


def restore_all(array):
    """Returns how many seconds it took."""
    restore = Restore(array, UNLIMITED)
    begin = time.monotonic()
    restore.begin()
    wait_until(restore.is_over, "the restore is over")
    return time.monotonic() - begin


def compare(array):
    files = [os.path.join(array.folder, name) for name in ("source", "clone1")]
    if subprocess.run(["cmp", "--silent", *files], check=False).returncode != 0:
        raise Failure("the Source is not what the Clone is after a restore")


# -------------------------------------------------------------- restore under load

def copier_for(server, array, bytes_per_s, copied_bytes):
    if server is array:
        return Restore(server, bytes_per_s)
    return Copy(array.folder, bytes_per_s, copied_bytes)


def under_load(samples, part, array, server, bytes_per_s, times):
    """4 KiB, 70 % reads, everywhere. To the array everything differs."""
    if server is array:
        write_all(array, array.bytes)
    load = Load(server, array.folder, 70, array.bytes)
    copier = copier_for(server, array, bytes_per_s, array.bytes)
    rates, windows = measure(load, copier, *times)
    record(samples, part, server.who, rates, windows)


def passed_through(samples, part, array, server, bytes_per_s, times):
    """Random reads of the first half, of which nothing differs; the other half is restored. The loop copies the
    first half: that costs the same."""
    half = array.bytes // 2
    if server is array:
        restore_all(array)
        write_all(array, half, half)
    load = Load(server, array.folder, 100, half)
    copier = copier_for(server, array, bytes_per_s, half)
    rates, windows = measure(load, copier, *times)
    record(samples, part, server.who, rates, windows)


def record(samples, part, who, rates, windows):
    before, during, after = windows
    samples.add(part, who, "MB/s", sum(rates) / 1e6)
    samples.add(part, who, "MB/s on demand", rates[1] / 1e6)
    samples.add(part, who, "IOPS before", before.iops)
    samples.add(part, who, "IOPS during", during.iops)
    samples.add(part, who, "IOPS after", after.iops)
    samples.add(part, who, "p50 us", during.p50_us)
    samples.add(part, who, "p99 us", during.p99_us)


LOADED = [
    ("mixed, unlimited", under_load, UNLIMITED),
    ("mixed, hosts first", under_load, HOSTS_FIRST),
    ("reads, hosts first", passed_through, HOSTS_FIRST),
]


def loaded(samples, array, servers, number, times):
    for part, run, bytes_per_s in LOADED:
        for server in in_turn(servers, number):
            say(f"  {part}: {server.who}")
            run(samples, part, array, server, bytes_per_s, times)


# ----------------------------------------------------- from the command to the data

EXTENTS_THAT_DIFFER = 4096


def offsets(bytes_):
    """Extents that differ, all over the LU; the last one is the last that is copied."""
    step = bytes_ // EXTENTS_THAT_DIFFER // EXTENT_BYTES * EXTENT_BYTES
    return [step * (i + 1) - EXTENT_BYTES for i in range(EXTENTS_THAT_DIFFER)]


def content(offset, number):
    return (b"%015d %015d\n" % (offset, number)) * (BLOCK_BYTES // 32)


def write_marks(array, number):
    with Client(array.socket, "source") as client:
        client.write_many([(offset, content(offset, number)) for offset in offsets(array.bytes)])
        client.flush()


def timed_ms(call):
    begin = time.monotonic()
    value = call()
    return (time.monotonic() - begin) * 1000, value


def first_read(samples, folder, gib, repeats):
    """The files are sparse. What differs is 4 KiB of each of 4096 extents; what is copied are these."""
    part = f"first read {gib} GiB"
    bytes_ = gib << 30
    os.makedirs(folder, exist_ok=True)
    with Array(folder, bytes_, "skip-equal=true") as array:
        write_marks(array, 0)
        array.synchronize_and_fracture()
    with Array(folder, bytes_) as array, Direct(folder, bytes_) as direct:
        for number in range(1, repeats + 1):
            write_marks(array, number)
            sample_first_read(samples, part, array, direct, number)
            wait_until(lambda: array.is_in("Fractured"), "the restore is over")


def sample_first_read(samples, part, array, direct, number):
    last = offsets(array.bytes)[-1]
    with Client(array.socket, "source") as client, Client(direct.socket, "") as plain:
        for warm in (plain, client):  # the first request of a connection is slow
            warm.read(0, BLOCK_BYTES)
        limit_ms, _ = timed_ms(lambda: plain.read(last, BLOCK_BYTES))
        before_ms, data = timed_ms(lambda: client.read(last, BLOCK_BYTES))
        check(data, content(last, number))
        command_ms, _ = timed_ms(lambda: array.ask("restore", clone=1))
        read_ms, data = timed_ms(lambda: client.read(last, BLOCK_BYTES))
        restoring = array.is_in("Restoring")
        check(data, content(last, 0))
    samples.add(part, "direct", "read ms", limit_ms)
    samples.add(part, "array", "read ms", before_ms)
    samples.add(part, "array", "command ms", command_ms)
    samples.add(part, "array", "restored read ms", read_ms)
    samples.add(part, "array", "sum ms", command_ms + read_ms)
    samples.add(part, "array", "still copying", int(restoring))


def check(found, expected):
    if found != expected:
        raise Failure(f"a host has read {found[:32]!r}, not {expected[:32]!r}")
