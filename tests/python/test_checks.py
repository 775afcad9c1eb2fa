"""What an operator asks: is a Clone what its Delta Map says, which Clones can be
restored from, what has changed since a backup, and which LU fails."""

import unittest

from bindings import *


class Checks(unittest.TestCase):
    def setUp(self):
        self.array = array = RamArray(clones=3, copy_buffer_bytes=2 * 8 * 512)
        array.open()
        array.format()
        array.add_synchronized(1)

    def verify(self, lu, flags=CLONE_GROUP_VERIFY_MARK):
        """Runs a Verify to its end. Returns the extents that differ."""
        seen = len(self.array.events)
        self.array.administer("verify", lu, flags)
        self.array.settle()
        events = self.array.events[seen:]
        self.assertIn(CLONE_GROUP_EVENT_VERIFIED, [event[0] for event in events])
        return [event[3] for event in events if event[0] == CLONE_GROUP_EVENT_MISMATCH]

    def test_verify_finds_what_changed_behind_its_back_and_synchronization_mends_it(self):
        array = self.array
        array.fracture(1)
        self.assertEqual(self.verify(1), [])
        array.lus[1][3 * 8 * 512] ^= 1
        self.assertEqual(self.verify(1, 0), [3])
        self.assertEqual(array.delta(1), set())
        self.assertEqual(self.verify(1), [3])
        self.assertEqual(array.delta(1), {3})
        self.assertEqual(array.clone_info(1).mismatched_extents, 1)
        self.assertEqual(array.clone_info(1).first_mismatched_extents[0], 3)
        array.administer("synchronize", 1)
        array.settle()
        self.assertEqual(array.lus[1], array.lus[0])
        self.assertEqual(self.verify(1), [])

    def test_a_verify_can_be_stopped(self):
        array = self.array
        array.administer("verify", 1, 0)
        array.administer("verify_stop")
        array.settle()
        ended = [event for event in array.events if event[0] == CLONE_GROUP_EVENT_VERIFIED]
        self.assertEqual([event[2] for event in ended], [CLONE_GROUP_ERR_CANCELED])

    def test_skip_equal_writes_only_what_differs(self):
        array = RamArray(flags=CLONE_GROUP_CONFIG_SKIP_EQUAL, copy_buffer_bytes=2 * 8 * 512)
        array.lus[1][:] = array.lus[0]
        array.lus[1][5 * 8 * 512] ^= 1
        array.open()
        array.format()
        array.add_synchronized(1)
        self.assertEqual(array.statistics().skipped_extents, 7)
        self.assertEqual(array.clone_info(1).extents_skipped, 7)
        self.assertEqual(array.lus[1], array.lus[0])

    def test_the_clones_that_are_valid_to_restore_from(self):
        array = self.array

        def restorable():
            infos = [array.clone_info(lu) for lu in (1, 2, 3)]
            condition = CLONE_GROUP_CONDITION_RESTORABLE
            return {info.lu: info.extents_left for info in infos if info.conditions & condition}

        self.assertEqual(restorable(), {})
        array.fracture(1)
        array.write(0, 0, 1, 1)
        array.add_synchronized(2)
        array.fracture(2)
        array.administer("clone_add", 3)
        array.write(0, 16, 9, 1)
        self.assertEqual(restorable(), {1: 3, 2: 2})
        array.restore(1)
        self.assertEqual(restorable(), {})

    def test_an_incremental_backup_reads_what_changed_since_the_last_one(self):
        """Two Clones in turn: the one holds the last backup, the other becomes the next."""
        array = self.array
        array.write(0, 0, 64, 1)
        array.add_synchronized(2)
        array.fracture(1)
        backup = bytearray(array.read_all(1))
        array.write(0, 13, 1, 2)
        array.write(0, 47, 2, 3)
        array.fracture(2)
        changed = array.delta(1)  # what differs from the last backup
        array.write(0, 0, 1, 4)  # after the point in time
        self.assertEqual(changed, {1, 5, 6})
        self.assertEqual(array.delta(1) - changed, {0})
        for extent in changed:
            start = extent * 8 * 512
            backup[start : start + 8 * 512] = array.read(2, extent * 8, 8)
        self.assertEqual(backup, array.read_all(2))

    def test_which_lu_fails(self):
        array = self.array
        before = array.lu_info(0)
        array.write(0, 0, 1, 1)
        array.read(0, 0, 1)
        now = array.lu_info(0)
        self.assertEqual((now.writes - before.writes, now.reads - before.reads), (1, 1))
        array.answer = lambda io: -5 if io.lu == 1 and io.operation == CLONE_GROUP_IO_WRITE else None
        array.write(0, 8, 1, 2)
        array.answer = lambda io: None
        array.drain()
        self.assertEqual(array.lu_info(0).write_errors, 0)
        self.assertEqual(array.lu_info(1).write_errors, 1)
        self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_OUT_OF_SYNC)
        self.assertEqual(bytes(array.lu_info(1).identity), bytes([66]) * 16)


if __name__ == "__main__":
    unittest.main()
