"""Full disks, a second array, files that are wrong or gone: the array goes on, or does not start and says why."""
import contextlib
import json
import os
import random
import shutil

from harness import Array, check, equal, mounted, run as run_program, say, wait_until
from nbd import WRITE, Nbd
from parts.clients import ENOSPC, MIB, SIZE, Known

PROGRAMS = ["mount", "flock"]
ROOT = True


def fills_up(folder, dice):
    """ENOSPC to hosts and to copies; with room again everything goes on."""
    with mounted("tmpfs", os.path.join(folder, "small"), "-t", "tmpfs", "-o", "size=40m") as small:
        array = Array(os.path.join(small, "array"), size="16M", clones=1)
        array.log = os.path.join(folder, "small.log")
        with array:
            data = dice.randbytes(SIZE)
            with Nbd(array.nbd) as host:
                host.write(0, data[:SIZE // 2])
                filler = os.path.join(small, "filler")
                fill(filler, os.statvfs(small).f_bavail * 4096 - MIB)
                written = [at for at in range(SIZE // 2, SIZE, 256 << 10) if host.ask(
                    WRITE, at, data=data[at:at + (256 << 10)]).error == 0]
                error = host.ask(WRITE, SIZE - 4096, data=data[-4096:]).error
                equal(error, ENOSPC, "error of a write where there is no room")
                check(0 < len(written) < SIZE // 2 // (256 << 10), f"{len(written)} writes found room")
                for at in written:
                    check(host.read(at, 256 << 10) == data[at:at + (256 << 10)], "what was acknowledged is there")
                check(host.read(0, SIZE // 2) == data[:SIZE // 2], "what was there before is there")
                copy_without_room(array)
                os.unlink(filler)
                host.write(SIZE // 2, data[SIZE // 2:])
                array.ask("resume")
                if array.state(1) == "OutOfSync":
                    array.ask("synchronize", clone=1)
                array.wait_for(1, "Synchronized")
                array.fracture(1)
            with Nbd(array.nbd, "clone1") as clone:
                check(clone.read_all() == data, "the Clone, once there was room")
            fill(filler, os.statvfs(small).f_bavail * 4096)
            array.kill()
            array.start()   # the metadata has its room
            equal(array.state(1), "Fractured", "after a kill on a full disk")
            array.stop()
        new = Array(os.path.join(small, "another"), size="16M", clones=1)
        new.log = os.path.join(folder, "another.log")
        new.refuses_to_start("No space left on device")
        os.unlink(filler)
        new.start()   # what was begun is made anew
        new.stop()


def fill(path, count):
    with open(path, "wb") as file:
        with contextlib.suppress(OSError):
            file.write(bytes(count))
            file.flush()


def copy_without_room(array):
    """A copy that finds no room says so, and waits."""
    array.ask("synchronize", clone=1)
    wait_until(lambda: array.clone(1)["state"] == "OutOfSync" or "Stalled" in array.clone(1)["conditions"],
               "the copy notices that there is no room")
    check(any(event["status"] != 0 for event in array.ask("events")["events"]), "an event with an error")
    check(array.is_alive(), "alive on a full disk")


def second_array(known):
    """On the same folder, also with other sockets; the first one does not notice."""
    array = known.array
    second = Array(array.folder, f"control={array.folder}/other")
    second.log = array.log + ".second"
    second.arguments += ["--unix", array.folder + "/other-nbd"]
    second.refuses_to_start("another array runs on", array.folder)
    third = Array(array.folder)
    third.log = array.log + ".third"
    third.refuses_to_start("another array runs on", array.folder)
    known.check("a second array")


@contextlib.contextmanager
def instead(path, text=None):
    """A file is gone, or another, for a while."""
    kept = path + ".kept"
    shutil.copy2(path, kept)
    os.unlink(path)
    if text is not None:
        with open(path, "wb") as file:
            file.write(text)
    yield
    os.replace(kept, path)


def wrong_files(known):
    """It does not start, says which file it is, and touches nothing."""
    array = known.array
    array.stop()
    path = {name: os.path.join(array.folder, name) for name in ("group.json", "metadata", "source", "clone2")}
    with open(path["group.json"], "rb") as file:
        group = json.load(file)
    with open(path["metadata"], "rb") as file:
        metadata = file.read()
    for change, words in [
            (dict(lu_bytes=SIZE * 2), ["source", "bytes"]), (dict(lu_bytes="x"), ["group.json", "lu_bytes"]),
            (dict(clones=1000), ["group.json", "clones"]), (dict(clones=-1), ["group.json", "clones"]),
            (dict(group_id="no"), ["group.json", "group_id"]), (dict(group_id="00" * 16), ["not recovered"]),
            (dict(extent_bytes=32768), ["not recovered"]), (dict(block_bytes=12345), ["not"]),
            (dict(ready=None), ["group.json", "ready"])]:
        with instead(path["group.json"], json.dumps({**group, **change}).encode()):
            bare(array).refuses_to_start(*words)
    for text in (b"", b"{", b"[]", b"{}", os.urandom(500), json.dumps(group).encode()[:-30]):
        with instead(path["group.json"], text):
            bare(array).refuses_to_start("group.json")
    with instead(path["group.json"]):
        bare(array).refuses_to_start("no 'group.json'")
    for name in ("source", "clone2"):
        with instead(path[name]):
            bare(array).refuses_to_start(name, "No such file")
        with instead(path[name], bytes(4096)):
            bare(array).refuses_to_start(name, "4096")
    with instead(path["metadata"]):
        bare(array).refuses_to_start("metadata", "is missing or empty")
    with instead(path["metadata"], b""):
        bare(array).refuses_to_start("metadata", "is missing or empty")
    for text in (metadata[:100], bytes(len(metadata)),
                 os.urandom(len(metadata))):
        with instead(path["metadata"], text):
            bare(array).refuses_to_start("CLONE_GROUP_ERR_")
    with instead(path["metadata"], metadata[:len(metadata) // 2]):
        with bare(array):   # one of two copies of everything is enough
            known.check_data("the loss of half of the metadata")
    bare(array, "--size", "1G").refuses_to_start("this array was made with", "leave that parameter out")
    bare(array, "colour=blue").refuses_to_start("unknown parameter 'colour'")
    run_program("mount", "--bind", path["metadata"], path["metadata"])
    run_program("mount", "-o", "remount,bind,ro", path["metadata"])
    bare(array).refuses_to_start("metadata", "Read-only file system")
    run_program("umount", path["metadata"])
    array.start()
    known.check("wrong files")


def bare(array, *more):
    """The same folder, with nothing said but that."""
    other = Array(array.folder)
    other.arguments = [array.folder, *more]
    other.log = array.log + ".wrong"
    return other


def run(folder, seed):
    dice = random.Random(seed)
    with Array(os.path.join(folder, "array"), size=str(SIZE)) as array:
        known = Known(array, dice)
        array.synchronize(2)
        array.fracture(2, "kept")
        second_array(known)
        say("a second array")
        wrong_files(known)
        equal(array.clone(2)["label"], "kept", "the label of the Clone after all that")
        say("wrong files")
    fills_up(folder, dice)
    say("full disk")
    return "a second array, wrong, cut off, missing and read-only files, ENOSPC for hosts and copies"
