"""PostgreSQL on the Source: destroyed, and up again while the copy still runs."""
import contextlib
import os
import pwd
import random
import subprocess

from harness import Array, Disk, Failure, check, equal, mounted, run as run_program, say

PROGRAMS = ["nbdfuse", "fusermount3", "losetup", "mkfs.ext4", "e2fsck", "runuser", "initdb", "pg_ctl", "psql",
            "pgbench", "pg_amcheck"]
ROOT = True
MIB = 1 << 20
SCALE = 4
# Everything anyone could ask of the bank; the checksums see single rows.
ANSWERS = """
select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
       (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history),
       (select count(*) from pgbench_history),
       (select md5(string_agg(aid || ':' || abalance, ',' order by aid)) from pgbench_accounts),
       (select md5(string_agg(h::text, ',' order by mtime, tid, bid, aid, delta)) from pgbench_history h)"""


def as_postgres(*command, **more):
    return run_program("runuser", "-u", "postgres", "--", *command, **more)


class Server:
    """PostgreSQL with its data in a mounted file system."""

    def __init__(self, mount):
        self.mount = mount
        self.data = os.path.join(mount, "data")
        self.connect = ["-h", mount, "-U", "postgres"]

    def make(self):
        user = pwd.getpwnam("postgres")
        os.chown(self.mount, user.pw_uid, user.pw_gid)
        as_postgres("initdb", "-D", self.data, "-A", "trust", "-k", "-U", "postgres")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="ascii") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{self.mount}'\n"
                       "shared_buffers = 16MB\nmax_wal_size = 64MB\nmin_wal_size = 32MB\n"
                       "log_checkpoints = off\nautovacuum_naptime = 5\n")
            file.flush()
            os.fsync(file.fileno())  # else a point in time may have its size, and zeroes

    @contextlib.contextmanager
    def up(self):
        pid = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(pid):
            os.unlink(pid)  # of the server that ran at the Fracture
        log = os.path.join(self.mount, "log")
        said = as_postgres("pg_ctl", "-D", self.data, "-w", "-t", "120", "-l", log, "start", expect=None)
        if "server started" not in said:
            with open(log, encoding="utf-8", errors="replace") as file:
                raise Failure(f"PostgreSQL does not start: {said}{file.read()[-3000:]}")
        try:
            yield self
        finally:
            as_postgres("pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")

    def sql(self, text, database="bank"):
        return as_postgres("psql", *self.connect, "-v", "ON_ERROR_STOP=1", "-Atc", text, database).strip()

    def bench(self, seconds):
        """-n: without it the history would be emptied first."""
        return subprocess.Popen(["runuser", "-u", "postgres", "--", "pgbench", *self.connect, "-n", "-c", "4",
                                 "-j", "2", "-T", str(seconds), "bank"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def answers(self):
        """All answers; the four sums are equal."""
        found = self.sql(ANSWERS).split("|")
        equal(found[:4], found[:1] * 4, "sums of accounts, tellers, branches and history")
        return found

    def check_all(self):
        as_postgres("pg_amcheck", *self.connect, "--install-missing", "--heapallindexed", "bank")


def ended(bench):
    said = bench.communicate(timeout=240)[0]
    equal(bench.returncode, 0, f"pgbench: {said}")
    check("number of failed transactions: 0" in said, said)


def damage(server, dice):
    """The largest files are overwritten, the rest of the disk is filled: there is much to restore."""
    with server.up():
        server.sql("drop table pgbench_accounts")
        server.sql("checkpoint")
    files = sorted((os.path.join(at, name) for at, _, names in os.walk(server.data) for name in names),
                   key=os.path.getsize, reverse=True)
    for path in files[:20] + [os.path.join(server.data, "global", "pg_control")]:
        size = os.path.getsize(path)
        run_program("dd", "if=/dev/urandom", f"of={path}", f"bs={size}", "count=1", "conv=notrunc", "status=none")
    with open(os.path.join(server.mount, "rubbish"), "wb") as file:
        file.write(dice.randbytes(100 * MIB))
    run_program("runuser", "-u", "postgres", "--", "pg_ctl", "-D", server.data, "-w", "-t", "5", "start",
                "-l", "/dev/null", expect=1)


class Bank:
    """The database, its disk and its Clones: 1 of a running one, 2 of a stopped one."""

    def __init__(self, array, folder, dice):
        self.array, self.folder, self.dice = array, folder, dice
        self.server = Server(os.path.join(folder, "mount"))

    @contextlib.contextmanager
    def on_disk(self):
        with Disk(self.array, self.folder) as loop, mounted(loop, self.server.mount):
            yield self.server

    def begin(self):
        with Disk(self.array, self.folder) as loop:
            run_program("mkfs.ext4", "-q", "-F", loop)
            with mounted(loop, self.server.mount):
                self.server.make()
                with self.server.up() as server:
                    as_postgres("createdb", *server.connect, "bank")
                    as_postgres("pgbench", *server.connect, "-i", "-q", "-s", SCALE, "bank")
                    self.fracture_running(server)
                    at_stop = server.answers()
            run_program("e2fsck", "-f", "-n", loop)
        self.array.fracture(2, "stopped")
        return at_stop

    def fracture_running(self, server):
        bench = server.bench(4)
        self.array.ask("synchronize", clone=1)
        self.array.ask("synchronize", clone=2)
        ended(bench)
        self.array.wait_for(1, "Synchronized")
        self.array.wait_for(2, "Synchronized")
        before = int(server.answers()[4])
        bench = server.bench(4)
        while int(server.sql("select count(*) from pgbench_history")) < before + 100:
            check(bench.poll() is None, "pgbench runs")
        self.array.fracture(1, "running")
        check(bench.poll() is None, "pgbench runs beside the Fracture")
        ended(bench)

    def damage(self):
        with self.on_disk() as server:
            damage(server, self.dice)

    def restore(self, clone):
        """The server is up while almost everything is still to be copied. Returns its answers."""
        self.array.rate(2 * MIB)
        self.array.ask("restore", clone=clone)
        with self.on_disk() as server, server.up():
            self.array.is_restoring(clone)
            found = server.answers()
            server.check_all()
            check(not os.path.exists(os.path.join(server.mount, "rubbish")), "the rubbish is gone")
            self.array.is_restoring(clone)
            ended(server.bench(2))
            server.answers()
            self.array.is_restoring(clone)
            self.array.rate(0)
            self.array.wait_for(clone, "Fractured")
            server.answers()
            server.check_all()
        return found


def run(folder, seed):
    with Array(os.path.join(folder, "array"), size="512M") as array:
        bank = Bank(array, folder, random.Random(seed))
        at_stop = bank.begin()
        say(f"pgbench, two Clones; {at_stop[4]} transactions")
        bank.damage()
        equal(bank.restore(2), at_stop, "the bank as it was when it was stopped")
        say("the stopped one: up, asked and checked while it was restored")
        bank.damage()
        first = bank.restore(1)
        check(100 < int(first[4]) < int(at_stop[4]), f"the bank in between: {first[4]} of {at_stop[4]}")
        say(f"the running one: recovered while it was restored; {first[4]} transactions")
        bank.damage()
        equal(bank.restore(1), first, "a second restore to the same point in time")
        say("once more, with the same answers")
    return "fractured running and stopped; damaged; up, amcheck clean and balances equal while restoring, 3 times"
