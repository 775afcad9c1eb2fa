"""What every part of the benchmark uses."""
import os
import statistics
import sys
import time

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # c-examples/nbdkit
BUILD = os.path.join(FOLDER, "build")
PATIENCE_S = 300
MIB = 1 << 20
GIB = 1 << 30
EXTENT_BYTES = 65536

# As the array has them: COPY_BYTES and COPIES_MOST of array.c.
PIECE_BYTES = MIB
COPIES = 8

begun = time.monotonic()


class Failure(Exception):
    """What the benchmark ends with."""


def say(text):
    print(f"{time.monotonic() - begun:7.1f} s  {text}", file=sys.stderr, flush=True)


def wait_until(condition, text, patience_s=PATIENCE_S, pause_s=0.005):
    """Returns what the condition gives once that is true."""
    end = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise Failure(f"waited {patience_s} s in vain: {text}")
        time.sleep(pause_s)
    return value


def end_process(process):
    if process is not None and process.poll() is None:
        process.terminate()
        process.wait(PATIENCE_S)


class Samples:
    """Measured values: for each part, who was measured, and what."""

    def __init__(self):
        self.values = {}

    def add(self, part, who, what, value):
        self.values.setdefault((part, who, what), []).append(value)

    def get(self, part, who, what):
        return self.values.get((part, who, what), [])

    def ratios(self, part, who, limit, what):
        """Round by round, since the machine is not the same in each."""
        pairs = zip(self.get(part, who, what), self.get(part, limit, what))
        return [mine / theirs for mine, theirs in pairs if theirs]


def median(values):
    return statistics.median(values)
