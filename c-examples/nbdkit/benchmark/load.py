"""The load of a host: fio as an NBD client. It logs each I/O, so that one run tells what was before, during
and after a restore."""
import os
import signal
import subprocess
import time

from basics import PATIENCE_S, Failure, end_process, wait_until

DEPTH = 16
WARM_UP_S = 0.7  # fio has begun by then
SETTLE_S = 1  # the disk has written what its cache has got


def fio(uri, *options):
    return ["fio", "--name=load", "--ioengine=nbd", "--uri=" + uri, *options]


def write_all(server, bytes_, offset=0):
    """Makes every extent of the range differ."""
    subprocess.run(fio(server.uri, "--rw=write", "--bs=1M", "--iodepth=8", f"--offset={offset}",
                       f"--size={bytes_}", "--end_fsync=1", "--output=/dev/null", "--randseed",
                       str(time.monotonic_ns())), check=True, timeout=PATIENCE_S)


class Window:
    """What was done from one moment to another one."""

    def __init__(self, ios, begin_ms, end_ms):
        latencies = sorted(latency for at, latency in ios if begin_ms <= at < end_ms)
        if not latencies:
            raise Failure("the load has done nothing")
        self.iops = len(latencies) * 1000 / (end_ms - begin_ms)
        self.p50_us = latencies[len(latencies) // 2] / 1000
        self.p99_us = latencies[len(latencies) * 99 // 100] / 1000


class Load:
    """Random 4 KiB requests, until the end of `with`."""

    def __init__(self, server, scratch, read_percent, bytes_):
        self.log = os.path.join(scratch, "load")
        self.command = fio(server.uri, "--rw=randrw", f"--rwmixread={read_percent}", "--bs=4k",
                           f"--iodepth={DEPTH}", f"--size={bytes_}", "--norandommap", "--time_based",
                           "--runtime=3600", "--write_lat_log=" + self.log, "--disable_slat=1",
                           "--disable_clat=1", "--log_unix_epoch=1", "--output=/dev/null")

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        time.sleep(WARM_UP_S)
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            _, said = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if kind is None and not os.path.exists(self.log + "_lat.1.log"):
            raise Failure(f"fio: {said.decode()}")

    def windows(self, moments):
        """The windows between pairs of moments, in ms since 1970."""
        with open(self.log + "_lat.1.log", encoding="ascii") as log:
            fields = [line.split(",", 2) for line in log]
        os.unlink(self.log + "_lat.1.log")
        ios = [(int(at), int(latency)) for at, latency, _ in fields]
        return [Window(ios, *pair) for pair in moments]


def now_ms():
    return time.time() * 1000


def measure(load, copier, before_s, during_most_s, after_s):
    """Runs the load before, during and after what the copier does. Returns its bytes per second, in the background
    and on demand, and the three windows."""
    with load:
        begin = now_ms()
        time.sleep(before_s)
        copy_begin = now_ms()
        copier.begin()
        end = time.monotonic() + during_most_s
        while not copier.is_over() and time.monotonic() < end:
            time.sleep(0.02)
        copy_end = now_ms()
        copied = copier.copied_bytes()
        copier.finish()
        time.sleep(SETTLE_S)
        after = now_ms()
        time.sleep(after_s)
        last = now_ms()
    windows = load.windows([(begin, copy_begin), (copy_begin, copy_end), (after, last)])
    return [bytes_ * 1000 / (copy_end - copy_begin) for bytes_ in copied], windows
