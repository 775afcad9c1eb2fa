"""ctypes declarations of include/clone_group.h, and a small array in memory.

Standard library only. The library is found by the environment variable
CLONE_GROUP_LIBRARY. test_layout.py holds everything here against the header.
"""

import collections
import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int32,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)

# --------------------------------------------------------------- constants

CLONE_GROUP_ABI_VERSION = 1
CLONE_GROUP_FORMAT_VERSION = 1
CLONE_GROUP_OK = 0
CLONE_GROUP_PENDING = 1
CLONE_GROUP_MORE = 2
CLONE_GROUP_RETRY = 3
CLONE_GROUP_ERR_IO = -5
CLONE_GROUP_ERR_NOMEM = -12
CLONE_GROUP_ERR_BUSY = -16
CLONE_GROUP_ERR_NO_LU = -19
CLONE_GROUP_ERR_INVALID = -22
CLONE_GROUP_ERR_NO_SPACE = -28
CLONE_GROUP_ERR_RANGE = -34
CLONE_GROUP_ERR_METADATA_DAMAGED = -84
CLONE_GROUP_ERR_NOT_SUPPORTED = -95
CLONE_GROUP_ERR_CANCELED = -125
CLONE_GROUP_ERR_STATE = -1000
CLONE_GROUP_ERR_PROTECTED = -1001
CLONE_GROUP_ERR_SOURCE_INVALID = -1002
CLONE_GROUP_ERR_NOT_CONSISTENT = -1003
CLONE_GROUP_ERR_METADATA_FAILED = -1004
CLONE_GROUP_ERR_METADATA_FOREIGN = -1005
CLONE_GROUP_ERR_METADATA_GEOMETRY = -1006
CLONE_GROUP_ERR_METADATA_VERSION = -1007
CLONE_GROUP_ERR_METADATA_EXISTS = -1008
CLONE_GROUP_ERR_METADATA_MISSING = -1009
CLONE_GROUP_ERR_RESTORE_MAP_LOST = -1010
CLONE_GROUP_ERR_IDENTITY = -1011
CLONE_GROUP_ERR_WORKSPACE = -1012
CLONE_GROUP_ERR_CALLBACK_MISSING = -1013
CLONE_GROUP_ERR_CALLBACK_RESULT = -1014
CLONE_GROUP_ERR_STALE_IO = -1015
CLONE_GROUP_ERR_STRUCT_SIZE = -1016
CLONE_GROUP_ERR_NOT_READY = -1017
CLONE_GROUP_ERR_CLOSED = -1018
CLONE_GROUP_ERR_NO_REQUEST = -1019
CLONE_GROUP_ERR_PREPARED = -1020
CLONE_GROUP_ERR_INTERNAL = -1099
CLONE_GROUP_LU_SOURCE = 0
CLONE_GROUP_LU_NONE = 4294967295
CLONE_GROUP_CONFIG_HOST_DURABLE = 1
CLONE_GROUP_CONFIG_REDIRECT_READS = 2
CLONE_GROUP_CONFIG_MAP_PER_CLONE = 4
CLONE_GROUP_CONFIG_SKIP_EQUAL = 8
CLONE_GROUP_LU_VOLATILE_CACHE = 1
CLONE_GROUP_LU_DISCARD_ZEROES = 2
CLONE_GROUP_HOST_FUA = 1
CLONE_GROUP_HOST_UNSTABLE = 2
CLONE_GROUP_FORMAT_FORCE = 1
CLONE_GROUP_RECOVER_ABANDON_RESTORE = 1
CLONE_GROUP_IO_READ = 1
CLONE_GROUP_IO_WRITE = 2
CLONE_GROUP_IO_FLUSH = 3
CLONE_GROUP_IO_DISCARD = 4
CLONE_GROUP_IO_WRITE_ZEROES = 5
CLONE_GROUP_IO_COPY = 6
CLONE_GROUP_IO_PERSIST_READ = 7
CLONE_GROUP_IO_PERSIST_WRITE = 8
CLONE_GROUP_IO_PERSIST_FLUSH = 9
CLONE_GROUP_IO_FUA = 1
CLONE_GROUP_IO_HOST = 2
CLONE_GROUP_IO_URGENT = 4
CLONE_GROUP_STATE_NEW = 0
CLONE_GROUP_STATE_STARTING = 1
CLONE_GROUP_STATE_READY = 2
CLONE_GROUP_STATE_CLOSING = 3
CLONE_GROUP_STATE_CLOSED = 4
CLONE_GROUP_CONDITION_METADATA_FAILED = 1
CLONE_GROUP_CONDITION_PAUSED = 2
CLONE_GROUP_CONDITION_SOURCE_INVALID = 4
CLONE_GROUP_CONDITION_POISONED = 8
CLONE_GROUP_CONDITION_STALLED = 16
CLONE_GROUP_CONDITION_FAILED = 32
CLONE_GROUP_CONDITION_RESTORABLE = 256
CLONE_GROUP_CONDITION_PREPARED = 64
CLONE_GROUP_CONDITION_VERIFYING = 128
CLONE_GROUP_VERIFY_MARK = 1
CLONE_GROUP_EVENT_MISMATCH = 13
CLONE_GROUP_EVENT_VERIFIED = 14
CLONE_GROUP_CLONE_ABSENT = 0
CLONE_GROUP_CLONE_OUT_OF_SYNC = 1
CLONE_GROUP_CLONE_SYNCHRONIZING = 2
CLONE_GROUP_CLONE_SYNCHRONIZED = 3
CLONE_GROUP_CLONE_FRACTURED = 4
CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING = 5
CLONE_GROUP_CLONE_RESTORING = 6
CLONE_GROUP_EVENT_CLONE_STATE = 1
CLONE_GROUP_EVENT_SOURCE_CHANGED = 2
CLONE_GROUP_EVENT_SYNCHRONIZED = 3
CLONE_GROUP_EVENT_RESTORED = 4
CLONE_GROUP_EVENT_CLONE_FAILED = 5
CLONE_GROUP_EVENT_COPY_FAILED = 6
CLONE_GROUP_EVENT_STALLED = 7
CLONE_GROUP_EVENT_METADATA_FAILED = 8
CLONE_GROUP_EVENT_METADATA_REPAIRED = 9
CLONE_GROUP_EVENT_PAGE_DAMAGED = 10
CLONE_GROUP_EVENT_CALLBACK_RESULT = 11
CLONE_GROUP_EVENT_LOST = 12
CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED = 18
CLONE_GROUP_EVENT_GROUP_STATE = 21
CLONE_GROUP_EVENT_CANCELED = 15
CLONE_GROUP_EVENT_SOURCE_ACCEPTED = 17
CLONE_GROUP_EVENT_PREPARED = 19
CLONE_GROUP_EVENT_SET_RESOLVED = 20
CLONE_GROUP_MAP_DELTA = 1
CLONE_GROUP_MAP_PROTECTED_RESTORE = 2
CLONE_GROUP_MAP_PERSISTENT_DELTA = 3
CLONE_GROUP_SET_GROUPS_MAX = 1023

# ----------------------------------------------------------------- structs

class clone_group_config(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("lu_blocks", c_uint64),
        ("block_bytes", c_uint32),
        ("extent_blocks", c_uint32),
        ("clones_max", c_uint32),
        ("requests_max", c_uint32),
        ("copies_max", c_uint32),
        ("copy_buffer_bytes", c_uint32),
        ("buffer_align_bytes", c_uint32),
        ("persist_unit_bytes", c_uint32),
        ("page_bytes", c_uint32),
        ("page_writes_max", c_uint32),
        ("intent_extents_max", c_uint32),
        ("recopies_max", c_uint32),
        ("group_id", c_uint8 * 16),
    ]


class clone_group_io(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("operation", c_uint32),
        ("id", c_uint64),
        ("lu", c_uint32),
        ("flags", c_uint32),
        ("first_block", c_uint64),
        ("block_count", c_uint64),
        ("offset_bytes", c_uint64),
        ("length_bytes", c_uint64),
        ("source_lu", c_uint32),
        ("reserved", c_uint32),
        ("buffer", c_void_p),
        ("payload", c_void_p),
    ]


class clone_group_event(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_uint32),
        ("lu", c_uint32),
        ("status", c_int32),
        ("value", c_uint64),
        ("text", c_char_p),
        ("name", c_char_p),
    ]


# Callbacks of clone_group_ops. ctypes releases the interpreter's lock around calls,
# so callbacks may come on any thread.
IO_CALLBACK = CFUNCTYPE(c_int32, c_void_p, POINTER(clone_group_io))
DONE_CALLBACK = CFUNCTYPE(None, c_void_p, c_uint64, c_int32)
EVENT_CALLBACK = CFUNCTYPE(None, c_void_p, POINTER(clone_group_event))
CONTEXT_CALLBACK = CFUNCTYPE(None, c_void_p)
CLOCK_CALLBACK = CFUNCTYPE(c_uint64, c_void_p)
LOG_CALLBACK = CFUNCTYPE(None, c_void_p, c_uint32, c_char_p)


class clone_group_ops(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("context", c_void_p),
        ("read", IO_CALLBACK),
        ("write", IO_CALLBACK),
        ("flush", IO_CALLBACK),
        ("discard", IO_CALLBACK),
        ("write_zeroes", IO_CALLBACK),
        ("copy", IO_CALLBACK),
        ("persist_read", IO_CALLBACK),
        ("persist_write", IO_CALLBACK),
        ("persist_flush", IO_CALLBACK),
        ("done", DONE_CALLBACK),
        ("event", EVENT_CALLBACK),
        ("wake", CONTEXT_CALLBACK),
        ("enter_critical", CONTEXT_CALLBACK),
        ("leave_critical", CONTEXT_CALLBACK),
        ("clock", CLOCK_CALLBACK),
        ("log", LOG_CALLBACK),
    ]


class clone_group_lu(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("identity", c_uint8 * 16),
    ]


class clone_group_set(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("id", c_uint64),
        ("opaque", c_uint64 * 4),
    ]


class clone_group_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("state", c_uint32),
        ("conditions", c_uint32),
        ("restoring_lu", c_uint32),
        ("extents_total", c_uint64),
        ("restore_generation", c_uint64),
        ("protected_restore_extents", c_uint64),
        ("persistent_delta_extents", c_uint64),
        ("requests", c_uint32),
        ("cod_queue_depth", c_uint32),
        ("reversing_lu", c_uint32),
        ("reserved", c_uint32),
        ("set_id", c_uint64),
    ]


class clone_group_clone_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("lu", c_uint32),
        ("state", c_uint32),
        ("conditions", c_uint32),
        ("extents_left", c_uint64),
        ("extents_copied", c_uint64),
        ("extents_failed", c_uint64),
        ("first_failed_extent", c_uint64),
        ("identity", c_uint8 * 16),
        ("label", c_uint8 * 64),
        ("extents_to_copy", c_uint64),
        ("copy_time_ns", c_uint64),
        ("extents_skipped", c_uint64),
        ("verify_extents_left", c_uint64),
        ("verify_extents_failed", c_uint64),
        ("mismatched_extents", c_uint64),
        ("first_mismatched_extents", c_uint64 * 4),
    ]


class clone_group_lu_info(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("reads", c_uint64),
        ("writes", c_uint64),
        ("flushes", c_uint64),
        ("read_errors", c_uint64),
        ("write_errors", c_uint64),
        ("flush_errors", c_uint64),
        ("identity", c_uint8 * 16),
    ]


class clone_group_statistics(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("cod_queue_peak", c_uint32),
        ("host_reads", c_uint64),
        ("host_writes", c_uint64),
        ("host_flushes", c_uint64),
        ("redirected_reads", c_uint64),
        ("cod_queued", c_uint64),
        ("cod_extents", c_uint64),
        ("sync_extents", c_uint64),
        ("sync_copies", c_uint64),
        ("overwritten_extents", c_uint64),
        ("collisions", c_uint64),
        ("exclusive_copies", c_uint64),
        ("page_writes", c_uint64),
        ("page_waits", c_uint64),
        ("superblock_writes", c_uint64),
        ("engine_flushes", c_uint64),
        ("io_errors", c_uint64),
        ("metadata_errors", c_uint64),
        ("cod_wait_ns_max", c_uint64),
        ("cod_wait_ns_total", c_uint64),
        ("skipped_extents", c_uint64),
        ("verified_extents", c_uint64),
        ("mismatched_extents", c_uint64),
    ]


# --------------------------------------------------------------- functions

GROUP = c_void_p

# Name: result, arguments.
PROTOTYPES = {
    "clone_group_abi_version": (c_uint32, []),
    "clone_group_version": (c_char_p, []),
    "clone_group_status_name": (c_char_p, [c_int32]),
    "clone_group_status_text": (c_char_p, [c_int32]),
    "clone_group_config_init": (c_int32, [POINTER(clone_group_config), c_uint32]),
    "clone_group_ops_init": (c_int32, [POINTER(clone_group_ops), c_uint32]),
    "clone_group_workspace_size": (c_int32, [POINTER(clone_group_config), POINTER(c_uint64)]),
    "clone_group_metadata_size": (c_int32, [POINTER(clone_group_config), POINTER(c_uint64)]),
    "clone_group_create": (
        c_int32,
        [POINTER(clone_group_config), POINTER(clone_group_ops), c_void_p, c_uint64, POINTER(GROUP)],
    ),
    "clone_group_destroy": (c_int32, [GROUP]),
    "clone_group_lu_attach": (c_int32, [GROUP, c_uint32, POINTER(clone_group_lu)]),
    "clone_group_format": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_recover": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_close": (c_int32, [GROUP, c_uint64]),
    "clone_group_metadata_repair": (c_int32, [GROUP, c_uint64]),
    "clone_group_clone_add": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_clone_remove": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_synchronize": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_fracture": (c_int32, [GROUP, c_uint32, POINTER(c_uint8), c_uint32, c_uint64]),
    "clone_group_protected_restore": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_reverse_synchronize": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_verify": (c_int32, [GROUP, c_uint32, c_uint32, c_uint64]),
    "clone_group_verify_stop": (c_int32, [GROUP, c_uint64]),
    "clone_group_pause": (c_int32, [GROUP, c_uint64]),
    "clone_group_resume": (c_int32, [GROUP, c_uint64]),
    "clone_group_cancel": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_source_accept": (c_int32, [GROUP, c_uint64]),
    "clone_group_retarget": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_host_read": (
        c_int32,
        [GROUP, c_uint32, c_uint64, c_uint64, c_void_p, c_uint32, c_uint64],
    ),
    "clone_group_host_write": (
        c_int32,
        [GROUP, c_uint32, c_uint64, c_uint64, c_void_p, c_uint32, c_uint64],
    ),
    "clone_group_host_write_zeroes": (
        c_int32,
        [GROUP, c_uint32, c_uint64, c_uint64, c_uint32, c_uint64],
    ),
    "clone_group_host_discard": (
        c_int32,
        [GROUP, c_uint32, c_uint64, c_uint64, c_uint32, c_uint64],
    ),
    "clone_group_host_flush": (c_int32, [GROUP, c_uint32, c_uint64]),
    "clone_group_abort": (c_int32, [GROUP, c_uint64]),
    "clone_group_cod_poll": (c_int32, [GROUP, c_uint32]),
    "clone_group_sync_step": (c_int32, [GROUP, c_uint32]),
    "clone_group_io_complete": (c_int32, [GROUP, c_uint64, c_int32]),
    "clone_group_query": (c_int32, [GROUP, POINTER(clone_group_info)]),
    "clone_group_clone_query": (c_int32, [GROUP, c_uint32, POINTER(clone_group_clone_info)]),
    "clone_group_lu_query": (c_int32, [GROUP, c_uint32, POINTER(clone_group_lu_info)]),
    "clone_group_statistics_query": (c_int32, [GROUP, POINTER(clone_group_statistics)]),
    "clone_group_map_read": (
        c_int32,
        [GROUP, c_uint32, c_uint32, c_uint64, c_uint64, POINTER(c_uint8), c_uint64],
    ),
    "clone_group_set_init": (c_int32, [POINTER(clone_group_set), c_uint32, c_uint64]),
    "clone_group_set_fracture": (
        c_int32,
        [POINTER(GROUP), POINTER(c_uint32), c_uint32, POINTER(clone_group_set), POINTER(c_uint8), c_uint64],
    ),
    "clone_group_set_protected_restore": (
        c_int32,
        [POINTER(GROUP), POINTER(c_uint32), c_uint32, POINTER(clone_group_set), c_uint64],
    ),
    "clone_group_set_resolve": (c_int32, [GROUP, c_uint32, c_uint64]),
    "host_write": (c_int32, [GROUP, c_uint32, c_uint64, c_uint64, c_void_p, c_uint32, c_uint64]),
    "cod_poll": (c_int32, [GROUP, c_uint32]),
    "sync_step": (c_int32, [GROUP, c_uint32]),
    "recover": (c_int32, [GROUP, c_uint32, c_uint64]),
}


def load(path):
    """Loads the library; a build without the feature `bare-names` lacks those."""
    library = ctypes.CDLL(path)
    for name, (result, arguments) in PROTOTYPES.items():
        if not name.startswith("clone_group_") and not hasattr(library, name):
            continue
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


LIBRARY = load(os.environ["CLONE_GROUP_LIBRARY"])

# ----------------------------------------------------------------- an array

# What an I/O callback was asked for, as plain values that outlive the call.
Io = collections.namedtuple(
    "Io", "operation id lu flags first_block block_count offset length buffer payload"
)

POLLS_MAX = 100000


class Failed(Exception):
    """A call ended with an error status."""

    def __init__(self, status):
        self.status = status
        name = LIBRARY.clone_group_status_name(status).decode()
        text = LIBRARY.clone_group_status_text(status).decode()
        super().__init__(f"{name} ({status}): {text}")


class Request:
    """A request: its tag, its status (None until it is done) and its payload."""

    def __init__(self, tag, payload=None):
        self.tag = tag
        self.payload = payload
        self.status = None


class RamArray:
    """A controller with LUs in memory. It keeps every callback and payload alive.

    `hold` decides which I/Os stay in flight, in `held`, until complete() is
    called; all others are done at once. `ios` lists every I/O in order.
    """

    def __init__(self, clones=1, extents=8, extent_blocks=8, **config):
        self.config = clone_group_config()
        LIBRARY.clone_group_config_init(byref(self.config), ctypes.sizeof(self.config))
        self.config.lu_blocks = extents * extent_blocks
        self.config.extent_blocks = extent_blocks
        self.config.clones_max = clones
        self.config.group_id[:] = b"a python's group"
        for name, value in config.items():
            setattr(self.config, name, value)
        self.extents = extents
        self.extent_blocks = extent_blocks
        self.block_bytes = self.config.block_bytes or 512
        self.lu_bytes = self.config.lu_blocks * self.block_bytes
        self.lus = [bytearray([0xE0 + lu]) * self.lu_bytes for lu in range(clones + 1)]
        self.area = bytearray(self.metadata_bytes())
        self.group = GROUP()
        self.hold = lambda io: False
        self.answer = lambda io: None  # a status to return instead of doing the I/O
        self.budget = 16  # callbacks in one poll
        self.held = []
        self.ios = []
        self.events = []
        self.errors = []  # exceptions inside callbacks, which ctypes cannot pass on
        self.requests = {}
        self.last_tag = 0
        self.ops = self._ops()

    # -------------------------------------------------------- callbacks

    def _ops(self):
        ops = clone_group_ops()
        LIBRARY.clone_group_ops_init(byref(ops), ctypes.sizeof(ops))
        serve = IO_CALLBACK(self._guarded(self._serve, CLONE_GROUP_ERR_IO))
        for name in ("read", "write", "flush", "discard", "write_zeroes"):
            setattr(ops, name, serve)
        for name in ("persist_read", "persist_write", "persist_flush"):
            setattr(ops, name, serve)
        ops.done = DONE_CALLBACK(self._guarded(self._done, None))
        ops.event = EVENT_CALLBACK(self._guarded(self._event, None))
        return ops

    def _guarded(self, function, on_error):
        def guarded(_context, *arguments):
            try:
                return function(*arguments)
            except Exception as error:  # raised again by check()
                self.errors.append(error)
                return on_error

        return guarded

    def _serve(self, pointer):
        io = pointer.contents
        assert io.struct_size == ctypes.sizeof(clone_group_io)
        io = Io(
            io.operation, io.id, io.lu, io.flags, io.first_block, io.block_count,
            io.offset_bytes, io.length_bytes, io.buffer, io.payload,
        )
        self.ios.append(io)
        status = self.answer(io)
        if status is not None:
            return status
        if self.hold(io):
            self.held.append(io)
            return CLONE_GROUP_PENDING
        self._move(io)
        return CLONE_GROUP_OK

    def _move(self, io):
        persistent = io.operation >= CLONE_GROUP_IO_PERSIST_READ
        medium = self.area if persistent else self.lus[io.lu]
        data = io.payload if io.flags & CLONE_GROUP_IO_HOST else io.buffer
        end = io.offset + io.length
        assert end <= len(medium)
        if io.operation in (CLONE_GROUP_IO_READ, CLONE_GROUP_IO_PERSIST_READ):
            ctypes.memmove(data, bytes(medium[io.offset : end]), io.length)
        elif io.operation in (CLONE_GROUP_IO_WRITE, CLONE_GROUP_IO_PERSIST_WRITE):
            medium[io.offset : end] = ctypes.string_at(data, io.length)
        elif io.operation == CLONE_GROUP_IO_WRITE_ZEROES:
            medium[io.offset : end] = bytes(io.length)

    def _done(self, tag, status):
        request = self.requests.pop(tag)
        assert request.status is None
        request.status = status

    def _event(self, pointer):
        event = pointer.contents
        assert event.text
        self.events.append((event.kind, event.lu, event.status, event.value))

    def check(self):
        """Raises what went wrong inside a callback."""
        if self.errors:
            raise self.errors[0]

    # ------------------------------------------------------------- life

    def metadata_bytes(self):
        size = c_uint64()
        status = LIBRARY.clone_group_metadata_size(byref(self.config), byref(size))
        if status != CLONE_GROUP_OK:
            raise Failed(status)
        return size.value

    def open(self):
        """Creates the group and attaches every LU."""
        status = LIBRARY.clone_group_create(
            byref(self.config), byref(self.ops), None, 0, byref(self.group)
        )
        if status != CLONE_GROUP_OK:
            raise Failed(status)
        for lu in range(len(self.lus)):
            self.attach(lu)

    def attach(self, lu, identity=None):
        config = clone_group_lu(struct_size=ctypes.sizeof(clone_group_lu))
        config.identity[:] = identity or bytes([65 + lu]) * 16
        status = LIBRARY.clone_group_lu_attach(self.group, lu, byref(config))
        if status != CLONE_GROUP_OK:
            raise Failed(status)

    def format(self, flags=0):
        self.administer("format", flags)

    def recover(self, flags=0):
        self.administer("recover", flags)

    def destroy(self):
        """Without close(): what remains is as after a power loss."""
        status = LIBRARY.clone_group_destroy(self.group)
        if status != CLONE_GROUP_OK:
            raise Failed(status)
        self.group = GROUP()

    def crash_and_recover(self):
        """Power is lost between two polls. Nothing may be in flight."""
        assert not self.held
        self.requests.clear()
        self.destroy()
        self.open()
        self.recover()

    # --------------------------------------------------- requests, polls

    def administer(self, name, *arguments):
        """clone_group_<name>(group, arguments, tag), waited for."""
        self.finish(self.submit(name, *arguments))

    def submit(self, name, *arguments, payload=None):
        self.last_tag += 1
        request = Request(self.last_tag, payload)
        self.requests[request.tag] = request
        function = getattr(LIBRARY, "clone_group_" + name)
        status = function(self.group, *arguments, request.tag)
        self.check()
        if status != CLONE_GROUP_PENDING:
            del self.requests[request.tag]  # no `done` call follows
            request.status = status
        return request

    def finish(self, request):
        """Polls until the request is done; raises if it failed."""
        for _ in range(POLLS_MAX):
            if request.status is not None:
                break
            self.poll()
        else:
            raise AssertionError("the request stands still")
        if request.status != CLONE_GROUP_OK:
            raise Failed(request.status)
        return request

    def poll(self):
        return self._polled(LIBRARY.clone_group_cod_poll(self.group, self.budget))

    def step(self, extents=16):
        return self._polled(LIBRARY.clone_group_sync_step(self.group, extents))

    def _polled(self, status):
        self.check()
        if status < 0:
            raise Failed(status)
        return status

    def drain(self):
        """Polls until there is nothing left to do, beginning no copies."""
        self._until_idle(self.poll)

    def settle(self):
        """Polls until everything is copied."""
        self._until_idle(self.step)

    def _until_idle(self, poll):
        for _ in range(POLLS_MAX):
            if poll() == CLONE_GROUP_OK:
                return
        raise AssertionError("the group is never idle")

    def poll_while_more(self, poll):
        """Polls until nothing moves without the I/Os that are held."""
        for _ in range(POLLS_MAX):
            if poll() != CLONE_GROUP_MORE:
                return
        raise AssertionError("there is always more to do")

    def complete(self, io, status=CLONE_GROUP_OK):
        """Ends an I/O that is held."""
        self.held.remove(io)
        if status == CLONE_GROUP_OK:
            self._move(io)
        result = LIBRARY.clone_group_io_complete(self.group, io.id, status)
        if result != CLONE_GROUP_OK:
            raise Failed(result)

    # -------------------------------------------------------------- host

    def submit_write(self, lu, first_block, block_count, byte, flags=0):
        payload = ctypes.create_string_buffer(
            bytes([byte]) * (block_count * self.block_bytes), block_count * self.block_bytes
        )
        address = ctypes.addressof(payload)
        return self.submit(
            "host_write", lu, first_block, block_count, address, flags, payload=payload
        )

    def submit_read(self, lu, first_block, block_count):
        payload = ctypes.create_string_buffer(block_count * self.block_bytes)
        address = ctypes.addressof(payload)
        return self.submit("host_read", lu, first_block, block_count, address, 0, payload=payload)

    def write(self, lu, first_block, block_count, byte):
        self.finish(self.submit_write(lu, first_block, block_count, byte))

    def read(self, lu, first_block, block_count):
        return self.finish(self.submit_read(lu, first_block, block_count)).payload.raw

    def read_all(self, lu):
        return self.read(lu, 0, self.config.lu_blocks)

    # ----------------------------------------------------------- queries

    def _query(self, name, kind, *arguments):
        answer = kind(struct_size=ctypes.sizeof(kind))
        function = getattr(LIBRARY, "clone_group_" + name)
        status = function(self.group, *arguments, byref(answer))
        if status != CLONE_GROUP_OK:
            raise Failed(status)
        return answer

    def info(self):
        return self._query("query", clone_group_info)

    def clone_info(self, lu):
        return self._query("clone_query", clone_group_clone_info, lu)

    def lu_info(self, lu):
        return self._query("lu_query", clone_group_lu_info, lu)

    def statistics(self):
        return self._query("statistics_query", clone_group_statistics)

    def map(self, kind, lu=0):
        """The extents that are set in a map."""
        size = (self.extents + 7) // 8
        bits = (c_uint8 * size)()
        status = LIBRARY.clone_group_map_read(
            self.group, kind, lu, 0, self.extents, bits, size
        )
        if status != CLONE_GROUP_OK:
            raise Failed(status)
        return {extent for extent in range(self.extents) if bits[extent // 8] >> extent % 8 & 1}

    def delta(self, lu):
        return self.map(CLONE_GROUP_MAP_DELTA, lu)

    def protected(self):
        return self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE)

    def persistent(self):
        return self.map(CLONE_GROUP_MAP_PERSISTENT_DELTA)

    # --------------------------------------------------------- shortcuts

    def add_synchronized(self, lu):
        self.administer("clone_add", lu)
        self.administer("synchronize", lu)
        self.settle()

    def fracture(self, lu, label=b""):
        label = (c_uint8 * 64)(*label)
        self.administer("fracture", lu, label, 0)

    def restore(self, lu):
        self.administer("protected_restore", lu)

    def copied_extents(self, since):
        """Extents that the library itself wrote to the Source since that I/O."""
        found = []
        for io in self.ios[since:]:
            is_copy = io.operation == CLONE_GROUP_IO_WRITE and not io.flags & CLONE_GROUP_IO_HOST
            if is_copy and io.lu == CLONE_GROUP_LU_SOURCE:
                first = io.first_block // self.extent_blocks
                end = (io.first_block + io.block_count - 1) // self.extent_blocks + 1
                found.extend(range(first, end))
        return found
