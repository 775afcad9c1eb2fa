"""clonectl: exit statuses, messages, tables, JSON of every command, --watch and the map."""
import json
import os
import subprocess
import time

from harness import CLONECTL, Array, check, equal, run as run_program, say, wait_until
from nbd import Nbd

PROGRAMS = ["script"]
ROOT = False
DONE, FAILED, USAGE, NO_ARRAY, REFUSED = 0, 1, 2, 3, 4
COMMANDS = ["status", "rate", "map 1", "events", "statistics", "synchronize 1", "fracture 1 --label=monday",
            "restore 1", "pause", "resume", "verify 1", "verify-stop", "reverse 1", "cancel 1", "retarget 1",
            "accept", "repair", "remove 2", "add 2", "synchronize 2", "fracture 2"]


def clonectl(array, *words, expect=DONE):
    return run_program(CLONECTL, "--dir", array.folder, *words, expect=expect)


def say_no(array):
    """Each kind of failure has its exit status and says why."""
    for words, status, text in [
            ((), USAGE, "COMMAND is missing"),
            (("status", "1", "2"), USAGE, "one argument too many"),
            (("dance",), USAGE, "usage: no such command"),
            (("fracture",), USAGE, "\"clone\" must be a number from 1 to 2"),
            (("fracture", "3"), USAGE, "from 1 to 2"),
            (("fracture", "clone9"), USAGE, "from 1 to 2"),
            (("fracture", "x"), USAGE, "needs a number"),
            (("fracture", "99999999999999999999"), USAGE, "needs a number"),
            (("rate", "--cap", "fast"), USAGE, "needs a number"),
            (("rate", "--cap", "1K"), USAGE, "10 extents a second"),
            (("rate", "--cap", "-1"), USAGE, "needs a number"),
            (("map", "1", "--cells", "0"), USAGE, "from 1 to 4096"),
            (("fracture", "1", "--label", "x" * 65), USAGE, "at most 64 bytes"),
            (("status", "--no-such-option"), USAGE, "--help"),
            (("restore", "1"), REFUSED, "refused: "),
            (("fracture", "1"), REFUSED, "(CLONE_GROUP_ERR_"),
            (("add", "1"), REFUSED, "(CLONE_GROUP_ERR_")]:
        before = array.ask("status")["clones"]
        said = clonectl(array, *words, expect=status)
        check(said.startswith("clonectl: ") and text in said, f"`clonectl {' '.join(words)}` said: {said}")
        equal(array.ask("status")["clones"], before, f"the Clones after a wrong `{' '.join(words)}`")
    check("usage: clonectl" in clonectl(array, "--help"), "--help")
    said = run_program(CLONECTL, "--dir", "/nonexistent", "status", expect=NO_ARRAY)
    check("no array at '/nonexistent/control'" in said, said)
    run_program(CLONECTL, "--dir", "/" + "x" * 300, "status", expect=NO_ARRAY)
    equal(run_program(CLONECTL, "status", cwd=array.folder), clonectl(array, "status"), "the current folder")
    environment = dict(os.environ, CLONE_ARRAY_DIR=array.folder)
    equal(run_program(CLONECTL, "status", env=environment), clonectl(array, "status"), "$CLONE_ARRAY_DIR")


def json_of_all(array):
    """Every command answers JSON, done or refused, and the exit status agrees with it."""
    kinds = {None: DONE, "failed": FAILED, "usage": USAGE, "refused": REFUSED}
    for command in COMMANDS:
        done = subprocess.run([CLONECTL, "--dir", array.folder, "--json", *command.split()],
                              capture_output=True, text=True)
        for line in done.stdout.splitlines():
            answer = json.loads(line)
        if command == "events":
            check(answer["number"] > 0 and answer["event"].startswith("CLONE_GROUP_EVENT_"), answer)
        else:
            equal(done.returncode, kinds[None if answer["ok"] else answer["kind"]],
                  f"exit status of `{command}`, which answered {answer}")
            if not answer["ok"]:
                check(answer["name"] in done.stderr, f"{command}: {done.stderr}")
        wait_until(lambda: not {"Synchronizing", "Restoring", "ReverseSynchronizing"}
                   & {clone["state"] for clone in array.ask("status")["clones"]}
                   or "Paused" in array.ask("status")["group"]["conditions"], "copies end")
    states = [clone["state"] for clone in array.ask("status")["clones"]]
    equal(states[1], "Fractured", f"the last command has worked: {states}")


def synchronize_with_a_bar(array):
    said = clonectl(array, "synchronize", "clone1", "--watch")
    check("clone1: a Synchronization is finished" in said, said)
    equal(clonectl(array, "fracture", "1", "--label", "monday"), "", "what a fracture says")
    check("monday" in clonectl(array, "status"), "the label is in the table")
    equal(array.clone(1)["label"], "monday", "label")


def watch_a_restore(array):
    """--watch to its end, in lines and in JSON, and on a terminal with a bar that moves."""
    change_source(array)
    lines = [json.loads(line) for line in clonectl(array, "restore", "1", "--watch", "--json").splitlines()]
    left = [line["clones"][0]["extents_left"] for line in lines if "clones" in line]
    check(len(left) >= 3 and left == sorted(left, reverse=True) and left[-1] == 0,
          f"extents left, line by line: {left}")
    change_source(array)
    # script(1) gives it a terminal.
    said = run_program("script", "-qec", f"{CLONECTL} --dir {array.folder} restore 1 --watch", "/dev/null")
    bars = said.count("clone1 Restoring [")
    check(bars >= 5, f"{bars} pictures of the bar")
    check("#" in said and "=" in said and "\033[" in said, f"the map is drawn: {said[-500:]}")
    check("clone1: " in said.splitlines()[-1], f"the last line: {said.splitlines()[-1]}")


def change_source(array):
    array.rate(8 << 20)
    with Nbd(array.nbd) as host:
        for at in range(0, host.bytes, 1 << 20):
            host.write(at, os.urandom(1 << 20))


def draw_maps(array):
    """The map counts what there is: all of it, what hosts write, what is copied."""
    change_source(array)
    before = json.loads(clonectl(array, "map", "1", "--json", "--cells", "16"))
    equal(sum(before["extents"]), array.ask("status")["group"]["extents"], "extents in the map")
    # Of a point in time, what differs is what hosts have written since.
    equal(sum(before["host_written"]), array.clone(1)["extents_left"], "what differs")
    array.rate(2 << 20)
    array.ask("restore", clone=1)
    with Nbd(array.nbd) as host:
        host.write(host.bytes - (1 << 20), bytes(1 << 20))
    during = json.loads(clonectl(array, "map", "1", "--json", "--cells", "16"))
    array.is_restoring()
    check(0 < sum(during["to_copy"]) < sum(before["extents"]), f"something was copied: {during}")
    equal(during["host_written"][-1], (1 << 20) // 65536, "extents in the last cell that a host wrote")
    check("w" in clonectl(array, "map", "1"), "the picture has what a host wrote")
    array.rate(0)
    array.wait_for(1, "Fractured")


def cancel_what_is_watched(array):
    """Who watches a copy that is canceled is told, and gets exit status 1."""
    change_source(array)
    array.rate(2 << 20)
    watch = subprocess.Popen([CLONECTL, "-d", array.folder, "restore", "1", "--watch"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: array.state(1) == "Restoring", "it restores")
    time.sleep(0.3)
    said = clonectl(array, "restore", "1", expect=REFUSED)
    check("refused" in said, said)
    clonectl(array, "cancel", "1")
    said = watch.communicate(timeout=60)[0]
    equal(watch.returncode, FAILED, f"exit status of the watch of a canceled restore: {said}")
    array.rate(0)
    clonectl(array, "restore", "1", "--watch")


def lose_the_array(array):
    """A watch on an array that dies ends with 3."""
    change_source(array)
    array.rate(2 << 20)
    watch = subprocess.Popen([CLONECTL, "-d", array.folder, "restore", "1", "--watch"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: array.state(1) == "Restoring", "it restores")
    array.kill()
    said = watch.communicate(timeout=60)[0]
    equal(watch.returncode, NO_ARRAY, f"exit status of the watch of an array that died: {said}")
    check("no array at" in clonectl(array, "status", expect=NO_ARRAY), "status of a dead array")
    array.start()
    equal(array.state(1), "Restoring", "after the kill")
    array.rate(0)
    array.wait_for(1, "Fractured")


def run(folder, seed):
    with Array(os.path.join(folder, "array"), size="16M") as array:
        for step in (say_no, synchronize_with_a_bar, watch_a_restore, draw_maps, cancel_what_is_watched,
                     lose_the_array, json_of_all):
            step(array)
            say(step.__name__.replace("_", " "))
    return f"{len(COMMANDS)} commands as JSON; exit statuses 0-4 and messages, watch, map"
