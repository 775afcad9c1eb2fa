"""The ways out of a restore from Python: canceled, accepted, given another Clone. What
an operator is told at each step, and what each LU holds, also after a power loss."""

import unittest

from bindings import *


class WaysOut(unittest.TestCase):
    """Clone 1 holds 1, Clone 2 holds 2, the Source holds 3 when it is restored."""

    def setUp(self):
        self.array = array = RamArray(clones=2, copy_buffer_bytes=8 * 512)
        array.open()
        array.format()
        for lu in (1, 2):
            array.administer("clone_add", lu)
            array.administer("synchronize", lu)
            array.settle()
            array.write(0, 0, 64, lu)
            array.fracture(lu, b"before %d" % lu)
        array.write(0, 0, 64, 3)
        array.restore(1)
        array.step(2)
        array.drain()
        self.assertIn(array.clone_info(1).extents_left, range(1, 8))
        array.write(0, 0, 1, 4)

    def assert_fails(self, status, function, *arguments):
        with self.assertRaises(Failed) as caught:
            function(*arguments)
        self.assertEqual(caught.exception.status, status, caught.exception)

    def conditions(self):
        return self.array.info().conditions

    def kinds(self):
        return [event[0] for event in self.array.events]

    def test_a_canceled_restore_leaves_a_source_that_nobody_is_served(self):
        array = self.array
        array.administer("cancel", 1)
        for _ in ("at once", "after a power loss"):
            self.assertTrue(self.conditions() & CLONE_GROUP_CONDITION_SOURCE_INVALID)
            self.assert_fails(CLONE_GROUP_ERR_SOURCE_INVALID, array.read, 0, 0, 1)
            self.assert_fails(CLONE_GROUP_ERR_SOURCE_INVALID, array.write, 0, 0, 1, 9)
            self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_FRACTURED)
            self.assertEqual(array.lus[1], bytes([1]) * array.lu_bytes)
            array.drain()
            array.crash_and_recover()
        self.assertIn(CLONE_GROUP_EVENT_CANCELED, self.kinds())

        array.restore(1)
        self.assertEqual(array.read_all(0), bytes([1]) * array.lu_bytes)
        array.settle()
        self.assertEqual(array.lus[0], array.lus[1])

    def test_an_accepted_source_is_served_as_it_is(self):
        array = self.array
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.administer, "source_accept")
        array.administer("cancel", 1)
        mixture = bytes(array.lus[0])
        array.administer("source_accept")
        self.assertFalse(self.conditions() & CLONE_GROUP_CONDITION_SOURCE_INVALID)
        self.assertIn(CLONE_GROUP_EVENT_SOURCE_ACCEPTED, self.kinds())
        self.assertEqual(array.read_all(0), mixture)
        self.assertEqual(array.read(0, 0, 1), bytes([4]) * 512)
        for lu in (1, 2):  # wherever they differ, the Delta Map says so
            size = 8 * 512
            differ = {e for e in range(8) if mixture[e * size:][:size] != array.lus[lu][e * size:][:size]}
            self.assertLessEqual(differ, array.delta(lu))

    def test_a_retargeted_restore_ends_with_the_other_clone(self):
        array = self.array
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.administer, "retarget", 1)
        array.administer("retarget", 2)
        self.assertEqual(array.info().restoring_lu, 2)
        self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_FRACTURED)
        self.assertFalse(self.conditions() & CLONE_GROUP_CONDITION_SOURCE_INVALID)
        changed = [event[1] for event in array.events if event[0] == CLONE_GROUP_EVENT_SOURCE_CHANGED]
        self.assertEqual(changed, [1, 2])
        self.assertEqual(array.read(0, 0, 1), bytes([2]) * 512)  # what the host wrote is gone
        array.write(0, 5, 1, 5)

        array.drain()
        array.crash_and_recover()
        self.assertEqual(array.info().restoring_lu, 2)
        array.settle()
        expected = bytes([2]) * (5 * 512) + bytes([5]) * 512 + bytes([2]) * (58 * 512)
        self.assertEqual(bytes(array.lus[0]), expected)
        self.assertEqual(array.lus[1], bytes([1]) * array.lu_bytes)
        self.assertEqual(array.lus[2], bytes([2]) * array.lu_bytes)


if __name__ == "__main__":
    unittest.main()
