"""Two groups at one point in time from Python: a set of both, and what becomes of one
that a power loss cuts short."""

import unittest

from bindings import *


class Pair:
    """Two groups that are polled in turn, and what is asked of both."""

    def __init__(self):
        self.arrays = [RamArray(), RamArray(group_id=(c_uint8 * 16)(*b"the other group."))]
        for array in self.arrays:
            array.open()
            array.format()
            array.add_synchronized(1)
        self.last_id = 0

    def submit(self, name, *arguments):
        """clone_group_set_<name>() on Clone 1 of both. Returns a request for each."""
        self.last_id += 1
        self.set = clone_group_set()  # stays until both are done
        size = ctypes.sizeof(self.set)
        assert LIBRARY.clone_group_set_init(byref(self.set), size, self.last_id) == CLONE_GROUP_OK
        tag = 1 << 32 | self.last_id
        requests = [Request(tag), Request(tag)]
        for array, request in zip(self.arrays, requests):
            array.requests[tag] = request
        groups = (GROUP * 2)(*(array.group for array in self.arrays))
        function = getattr(LIBRARY, "clone_group_set_" + name)
        status = function(groups, (c_uint32 * 2)(1, 1), 2, byref(self.set), *arguments, tag)
        if status != CLONE_GROUP_PENDING:
            for array in self.arrays:
                del array.requests[tag]
            raise Failed(status)
        return requests

    def finish(self, requests):
        for _ in range(POLLS_MAX):
            if all(request.status is not None for request in requests):
                return [request.status for request in requests]
            for array in self.arrays:
                array.poll()
        raise AssertionError("the set stands still")

    def fracture(self):
        return self.finish(self.submit("fracture", None))

    def states(self):
        return [array.clone_info(1).state for array in self.arrays]

    def prepared(self):
        condition = CLONE_GROUP_CONDITION_PREPARED
        return [bool(array.info().conditions & condition) for array in self.arrays]

    def power_loss(self):
        for array in self.arrays:
            for io in list(array.held):
                array.complete(io, CLONE_GROUP_ERR_IO)
            array.hold = lambda io: False
            array.crash_and_recover()

    def resolve(self):
        """The rule of clone_group_set_resolve()."""
        infos, prepared = [array.info() for array in self.arrays], self.prepared()
        commit = all(info.set_id == self.last_id for info in infos)
        for array, is_prepared in zip(self.arrays, prepared):
            if is_prepared:
                array.administer("set_resolve", int(commit))
        return commit


class Sets(unittest.TestCase):
    def setUp(self):
        self.pair = Pair()

    def write(self, byte):
        for array in self.pair.arrays:
            array.write(0, 0, 64, byte)

    def assert_hold(self, lu, byte):
        for array in self.pair.arrays:
            self.assertEqual(array.lus[lu], bytes([byte]) * array.lu_bytes)

    def test_both_are_fractured_and_restored_together(self):
        pair = self.pair
        self.write(1)
        self.assertEqual(pair.fracture(), [CLONE_GROUP_OK] * 2)
        self.assertEqual(pair.states(), [CLONE_GROUP_CLONE_FRACTURED] * 2)
        self.assertEqual([array.info().set_id for array in pair.arrays], [1, 1])
        self.write(2)
        self.assert_hold(1, 1)
        statuses = pair.finish(pair.submit("protected_restore"))
        self.assertEqual(statuses, [CLONE_GROUP_OK] * 2)
        for array in pair.arrays:
            self.assertEqual(array.read_all(0), bytes([1]) * array.lu_bytes)
            array.settle()
        self.assert_hold(0, 1)

    def test_if_one_refuses_none_begins(self):
        pair = self.pair
        pair.arrays[1].fracture(1)
        with self.assertRaises(Failed) as caught:
            pair.fracture()
        self.assertEqual(caught.exception.status, CLONE_GROUP_ERR_STATE)
        self.assertEqual(
            pair.states(), [CLONE_GROUP_CLONE_SYNCHRONIZED, CLONE_GROUP_CLONE_FRACTURED]
        )
        self.write(3)

    def test_a_power_loss_before_the_decision(self):
        """One group is prepared, the other one knows nothing: given up on both."""
        pair = self.pair
        self.write(1)
        pair.arrays[1].hold = lambda io: io.operation >= CLONE_GROUP_IO_PERSIST_READ
        pair.submit("fracture", None)
        for _ in range(100):
            for array in pair.arrays:
                array.poll()
        pair.power_loss()
        self.assertEqual(pair.prepared(), [True, False])
        with self.assertRaises(Failed) as caught:
            pair.arrays[0].read(0, 0, 1)
        self.assertEqual(caught.exception.status, CLONE_GROUP_ERR_PREPARED)
        self.assertFalse(pair.resolve())
        self.assertEqual(pair.prepared(), [False, False])
        self.assertNotIn(CLONE_GROUP_CLONE_FRACTURED, pair.states())
        self.write(2)

    def test_a_power_loss_after_the_decision(self):
        """Both are prepared, perhaps one has committed: committed on both."""
        pair = self.pair
        self.write(1)
        superblocks = []

        def later_ones(io):
            """Of group 1: the superblock that commits. `prepared` is two writes."""
            if io.operation == CLONE_GROUP_IO_PERSIST_WRITE:
                superblocks.append(io)
            return len(superblocks) > 2

        pair.arrays[1].hold = later_ones
        first, _ = pair.submit("fracture", None)
        for _ in range(POLLS_MAX):
            if first.status is not None:
                break
            for array in pair.arrays:
                array.poll()
        self.assertEqual(first.status, CLONE_GROUP_OK)
        pair.power_loss()
        self.assertEqual(pair.prepared(), [False, True])
        self.assertTrue(pair.resolve())
        self.assertEqual(pair.states(), [CLONE_GROUP_CLONE_FRACTURED] * 2)
        self.write(2)
        self.assert_hold(1, 1)


if __name__ == "__main__":
    unittest.main()
