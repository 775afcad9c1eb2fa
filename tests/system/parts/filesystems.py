"""ext4 and XFS on FUSE and a loop device, restored while they are read; the README's story, literally."""
import os
import random
import re
import subprocess

from harness import (NBDKIT, PROJECT, Array, Disk, check, equal, mounted, run as run_program, say, sum_of,
                     wait_until)

PROGRAMS = ["nbdfuse", "fusermount3", "losetup", "mkfs.ext4", "e2fsck", "mkfs.xfs", "xfs_repair", "wipefs",
            "pgrep"]
ROOT = True
MIB = 1 << 20
KINDS = {"ext4": (["mkfs.ext4", "-q", "-F"], ["e2fsck", "-f", "-n"]),
         "xfs": (["mkfs.xfs", "-q", "-f"], ["xfs_repair", "-n"])}


def plant(folder, dice, files=400, large=6):
    """A tree of files, small and large."""
    os.makedirs(folder)
    for number in range(files + large):
        below = os.path.join(folder, str(number % 20))
        os.makedirs(below, exist_ok=True)
        with open(os.path.join(below, str(number)), "wb") as file:
            file.write(dice.randbytes(dice.randrange(20000) if number < files else 4 * MIB))
    return sums(folder)


def sums(folder):
    return {os.path.relpath(os.path.join(at, name), folder): sum_of(os.path.join(at, name))
            for at, _, names in os.walk(folder) for name in names}


def clean(kind, loop):
    """The checker of the file system finds nothing to do."""
    run_program(*KINDS[kind][1], loop)


def destroy(mount, dice):
    """Half of the files go, others are overwritten, and there are new ones."""
    for at, _, names in os.walk(mount):
        for name in names:
            path = os.path.join(at, name)
            if dice.random() < 0.5:
                os.unlink(path)
            else:
                with open(path, "r+b") as file:
                    file.write(b"damaged" * 1000)
    with open(os.path.join(mount, "new"), "wb") as file:
        file.write(dice.randbytes(60 * MIB))


def crash_consistent(array, folder, kind, planted):
    """A Fracture of a mounted file system, seen through the Clone: its journal, and all that was synced."""
    with Disk(array, folder, "clone2") as loop:
        with mounted(loop, os.path.join(folder, "clone"), *(["-o", "nouuid"] if kind == "xfs" else [])) as mount:
            equal(sums(os.path.join(mount, "first")), planted, f"{kind}: files of the Clone")
        clean(kind, loop)


def restore(array, folder, kind, planted, dice):
    """Mounted, read, written and checked while the copy runs."""
    array.rate(2 * MIB)
    array.ask("restore", clone=1)
    with Disk(array, folder) as loop:
        clean(kind, loop)
        with mounted(loop, os.path.join(folder, "mount")) as mount:
            for name in ("first", "second"):
                equal(sums(os.path.join(mount, name)), planted[name], f"{kind}: {name}, during the restore")
            check(not os.path.exists(os.path.join(mount, "new")), "what came after the Fracture is gone")
            array.is_restoring()
            planted["third"] = plant(os.path.join(mount, "third"), dice, 100, 1)
        clean(kind, loop)
        array.is_restoring()
        array.rate(0)
        array.wait_for(1, "Fractured")
        clean(kind, loop)
        with mounted(loop, os.path.join(folder, "mount")) as mount:
            for name, files in planted.items():
                equal(sums(os.path.join(mount, name)), files, f"{kind}: {name}, after the restore")


def live(array, folder, kind, dice):
    """The life of one file system, from mkfs to the restored one."""
    mount_point = os.path.join(folder, "mount")
    planted = {}
    with Disk(array, folder) as loop:
        run_program(*KINDS[kind][0], loop)
        with mounted(loop, mount_point) as mount:
            planted["first"] = plant(os.path.join(mount, "first"), dice)
            array.ask("synchronize", clone=1)
            array.ask("synchronize", clone=2)
            planted["second"] = plant(os.path.join(mount, "second"), dice)
            array.wait_for(1, "Synchronized")
            array.wait_for(2, "Synchronized")
            run_program("sync", "-f", mount)
            array.fracture(2)
            destroyed = plant(os.path.join(mount, "late"), dice, 50, 0)
            equal(sums(os.path.join(mount, "late")), destroyed, "what was just written")
            run_program("rm", "-r", os.path.join(mount, "late"))
        clean(kind, loop)
        array.fracture(1)
        crash_consistent(array, folder, kind, planted["first"])
        with mounted(loop, mount_point) as mount:
            destroy(mount, dice)
        clean(kind, loop)
    say(f"{kind}: made, synchronized, fractured, damaged")
    restore(array, folder, kind, planted, dice)
    with Disk(array, folder, "clone1") as loop:
        clean(kind, loop)
        with mounted(loop, os.path.join(folder, "clone"), "-o", "ro") as mount:
            equal(sorted(set(os.listdir(mount)) - {"lost+found"}), ["first", "second"], "the Clone is as it was")
            equal(sums(os.path.join(mount, "second")), planted["second"], "files of the Clone")
    say(f"{kind}: read, written and checked while it was restored")


def commands_of_readme():
    with open(os.path.join(NBDKIT, "README.md"), encoding="utf-8") as file:
        section = file.read().partition("## A file system, destroyed and restored")[2]
    block = re.search(r"```text\n(.*?)```", section, re.DOTALL).group(1)
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


WAITING = """
until_it() { for i in $(seq 1200); do "$@" && return; sleep 0.05; done; echo "in vain: $*"; exit 1; }
is_mounted() { grep -q " $1 " /proc/self/mountinfo; }
restores() { clonectl --json status | grep -q '"clone":1,"state":"Restoring"'; }
"""


def story_of_readme(folder, dice):
    """Each command as it stands there; a person waits for what appears, the script does so in lines of its own."""
    with Array(os.path.join(folder, "story"), size="384M") as array:
        os.mkdir(os.path.join(folder, "mnt"))
        planted = plant(os.path.join(folder, "doc"), dice)
        lines = ["set -eu", WAITING]
        for command in commands_of_readme():
            for there, here in (("/var/tmp/array", array.folder), ("/tmp/source", f"{folder}/source"),
                                ("/mnt", f"{folder}/mnt"), ("/usr/share/doc", f"{folder}/doc")):
                command = command.replace(there, here)
            if command.startswith("clonectl restore"):
                lines.append("clonectl rate --minimum 1M --cap 2M")
            lines.append(command)
            if command.startswith("nbdfuse"):
                lines.append(f"until_it is_mounted {folder}/source")
            if command.startswith("clonectl restore"):
                lines += ["watch=$!", "until_it restores"]
            if command.startswith("mount") and f"ls {folder}/mnt/doc" in command:
                lines += ["restores", f"diff -r {folder}/doc {folder}/mnt/doc", "restores", "echo READ-WHILE-IT-RESTORED",
                          "clonectl rate --cap 0", "wait $watch"]
        said = run_program("bash", "-c", "\n".join(lines), cwd=PROJECT)
        check("READ-WHILE-IT-RESTORED" in said and "clone1 Restoring [" in said, f"the story: {said}")
        check(len(planted) > 400 and "monday" in run_program("bash", "-c", f"cd {array.folder} && "
              f"{NBDKIT}/build/clonectl status"), "the label")
        wait_until(lambda: subprocess.run(["pgrep", "-f", f"nbdfuse {folder}/source"],
                                          stdout=subprocess.DEVNULL).returncode != 0, "nbdfuse ends")


def run(folder, seed):
    dice = random.Random(seed)
    with Array(os.path.join(folder, "array"), size="384M") as array:
        for kind in KINDS:
            live(array, folder, kind, dice)
    story_of_readme(folder, dice)
    say("the README's story")
    return "ext4 and XFS: checksums and fsck before, during, after a restore; the README's commands"
