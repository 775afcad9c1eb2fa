"""nbdinfo, nbdcopy, qemu-img and fio with verify during synchronize, fracture and restore."""
import json
import os
import subprocess

from harness import Array, check, equal, run as run_program, say, sum_of

PROGRAMS = ["nbdinfo", "nbdcopy", "qemu-img", "fio"]
ROOT = False
MIB = 1 << 20
SIZE = 128 * MIB
FEATURES = {"can_multi_conn": True, "can_flush": True, "can_fua": True, "can_trim": True, "can_zero": True,
            "can_fast_zero": True, "is_rotational": False, "is_read_only": False, "export-size": SIZE,
            "block_size_preferred": 4096}


def info(array, *words):
    return json.loads(run_program("nbdinfo", "--json", *words))


def fio(array, name, begin, size, **more):
    """Half of the LU is fio's: it writes, and reads what it has written. Returns the process.

    One block size, no overlaps: of two writes in flight that overlap nobody knows which is the later one."""
    options = {"name": name, "ioengine": "nbd", "uri": array.uri(), "rw": "randwrite", "bs": "16k",
               "iodepth": "16", "offset": begin, "size": size, "verify": "crc32c",
               "verify_fatal": 1, "verify_state_save": 0, "fsync": 64, "randrepeat": 1, **more}
    words = [f"--{key}={value}" for key, value in options.items()]
    return subprocess.Popen(["fio", *words], cwd=os.path.dirname(array.folder), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def verified(process, what):
    said = process.communicate(timeout=300)[0]
    equal(process.returncode, 0, f"fio with verify {what}: {said}")
    check("err= 0" in said, said)


def exports(array):
    """What nbdinfo sees of a new array, and that a Clone is listed once it may be read."""
    equal([export["export-name"] for export in info(array, "--list", array.uri(""))["exports"]], ["source"],
          "exports of a new array")
    equal(int(run_program("nbdinfo", "--size", array.uri())), SIZE, "size")
    found = info(array, array.uri())["exports"][0]
    for name, value in FEATURES.items():
        equal(found[name], value, name)
    for word in ("multi-conn", "flush", "fua", "trim", "zero", "write"):
        run_program("nbdinfo", "--can", word, array.uri())
    said = run_program("nbdinfo", array.uri("clone1"), expect=1)
    check("clone1" in said, f"a Clone that is OutOfSync is no export: {said}")
    run_program("nbdinfo", array.uri("clone7"), expect=1)


def holes(array, folder):
    """The map knows data and holes; it says so no more where that is not certain."""
    run_program("qemu-img", "bench", "-w", "-c", "1", "-s", str(MIB), "-o", str(2 * MIB), "-f", "raw", array.uri())
    found = info(array, "--map", array.uri())
    equal([(run["offset"], run["length"], run["type"]) for run in found][:3],
          [(0, 2 * MIB, 3), (2 * MIB, MIB, 0), (3 * MIB, SIZE - 3 * MIB, 3)], "map")
    equal(sum_of(copied(array, folder, "source")), sum_of(os.path.join(array.folder, "source")),
          "the LU, and the file it lies in")


def copied(array, folder, export):
    """An export as a file, by nbdcopy, which reads on several connections and skips holes."""
    path = os.path.join(folder, f"{export}.copy")
    run_program("nbdcopy", "--connections=4", array.uri(export), path)
    equal(os.path.getsize(path), SIZE, "size of the copy")
    return path


def write_image(array, folder):
    """A qcow2 goes into the Source, and is what qemu-img then finds there."""
    raw, qcow2 = os.path.join(folder, "image.raw"), os.path.join(folder, "image.qcow2")
    with open(raw, "wb") as file:
        for piece in range(SIZE // MIB):
            file.write(os.urandom(MIB) if piece % 3 else bytes(MIB))
    run_program("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2)
    run_program("qemu-img", "convert", "-n", "-W", "-m", "16", "-f", "qcow2", "-O", "raw", qcow2, array.uri())
    said = run_program("qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow2, array.uri())
    check("identical" in said, said)
    os.unlink(raw)
    return qcow2


def synchronize_under_load(array):
    array.rate(48 * MIB)
    load = fio(array, "synchronize", SIZE // 2, SIZE // 2, bs="4k")
    array.ask("synchronize", clone=1)
    check(load.poll() is None and array.state(1) == "Synchronizing", "fio and the copy run at once")
    verified(load, "during a Synchronization")
    array.rate(0)
    array.wait_for(1, "Synchronized")


def fracture_under_load(array):
    """fio goes on through a Fracture and finds what it wrote; nothing of it reaches the Clone later."""
    load = fio(array, "fracture", SIZE // 2, SIZE // 2, rate="20M", io_size=SIZE // 3)
    array.fracture(2)
    check(load.poll() is None, "fio runs beside the Fracture")
    verified(load, "during a Fracture")


def point_in_time(array, folder, qcow2):
    """Without load the Clone is the Source of this moment, for each tool."""
    array.fracture(1, "monday")
    said = run_program("qemu-img", "compare", "-f", "raw", "-F", "raw", array.uri(), array.uri("clone1"))
    check("identical" in said, said)
    equal([export["export-name"] for export in info(array, "--list", array.uri(""))["exports"]],
          ["source", "clone1", "clone2"], "exports")
    check("monday" in run_program("nbdinfo", array.uri("clone1")), "the label is in the description")
    expected = sum_of(copied(array, folder, "source"))
    equal(sum_of(copied(array, folder, "clone1")), expected, "Clone, at the Fracture")
    run_program("qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow2, array.uri("clone1"), expect=1)
    return expected


def restore_under_load(array, folder, expected):
    """While the copy runs the Source is what it was at the Fracture, and fio's writes stay."""
    # fio's half is written before the Restore, so that all of it has to be copied back.
    verified(fio(array, "damage", 0, SIZE, bs="1M", rw="write"), "before a Restore")
    array.rate(16 * MIB)
    array.ask("restore", clone=1)
    equal(sum_of(copied(array, folder, "clone1")), expected, "Clone, during the Restore")
    array.is_restoring()
    said = run_program("nbdinfo", "--map", array.uri())
    check("hole" not in said, f"while it restores nobody knows of holes: {said}")
    equal(info(array, array.uri("clone1"))["exports"][0]["is_read_only"], True, "a Clone is protected")
    # Reads copy on demand: a quarter of it, so that the rest is still to be copied.
    begin = SIZE // 4
    path = os.path.join(folder, "quarter")
    run_program("qemu-img", "dd", "-f", "raw", "-O", "raw", f"if={array.uri()}", f"of={path}", "bs=1M",
                f"count={begin // MIB}")
    equal(sum_of(path, begin), sum_of(os.path.join(folder, "clone1.copy"), begin), "Source, during the Restore")
    array.is_restoring()
    load = fio(array, "restore", SIZE // 2, SIZE // 8, bs="4k")
    verified(load, "during a Restore")
    array.is_restoring()
    array.rate(0)
    array.wait_for(1, "Fractured")


def after_the_restore(array, folder, expected):
    """The Clone is untouched; of the Source only what fio wrote differs."""
    equal(sum_of(copied(array, folder, "clone1")), expected, "Clone, after the Restore")
    copied(array, folder, "source")
    with open(os.path.join(folder, "source.copy"), "rb") as source, \
            open(os.path.join(folder, "clone1.copy"), "rb") as clone:
        for at in range(0, SIZE, MIB):
            same = source.read(MIB) == clone.read(MIB)
            check(same or SIZE // 2 <= at < SIZE // 2 + SIZE // 8, f"the Source differs at {at}")
    array.ask("restore", clone=1)
    array.wait_for(1, "Fractured")
    said = run_program("qemu-img", "compare", "-f", "raw", "-F", "raw", array.uri(), array.uri("clone1"))
    check("identical" in said, said)
    equal(sum_of(copied(array, folder, "source")), expected, "Source, after a second Restore")


def run(folder, seed):
    with Array(os.path.join(folder, "array"), size=str(SIZE)) as array:
        exports(array)
        holes(array, folder)
        say("exports, flags, map")
        qcow2 = write_image(array, folder)
        say("qemu-img convert and compare")
        array.synchronize(2)
        synchronize_under_load(array)
        say("fio during a Synchronization")
        fracture_under_load(array)
        say("fio during a Fracture")
        expected = point_in_time(array, folder, qcow2)
        say("the Clone is what the Source was")
        restore_under_load(array, folder, expected)
        say("fio, qemu-img and nbdcopy during a Restore")
        after_the_restore(array, folder, expected)
    return "fio crc32c during each operation; the Clone is what the Source was, through two restores"
