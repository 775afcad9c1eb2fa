"""The worked examples E1 to E7: eight extents, numbered 0 to 7, with the maps read back through the C ABI after each step.

Where an example needs an I/O to be in flight, the array holds it until the test
completes it. Polls make one callback each, so that a restore does not end unseen
in the poll that ends a request. Every write of a host covers part of an extent
only: one that covers all of it would need no copy on demand.
"""

import unittest

from bindings import *

ALL = set(range(8))


def extent_of(io, array):
    return io.first_block // array.extent_blocks


class Example(unittest.TestCase):
    clones = 1
    flags = 0

    def setUp(self):
        # A copy is one extent, so that each is seen on its own.
        self.array = RamArray(
            clones=self.clones, copy_buffer_bytes=8 * 512, flags=self.flags
        )
        self.array.budget = 1
        self.array.open()
        self.array.format()

    def first_block(self, extent):
        return extent * self.array.extent_blocks

    def write(self, extent, byte):
        """A host write to the second block of an extent."""
        self.array.write(0, self.first_block(extent) + 1, 1, byte)

    def block(self, extent, index):
        return self.array.read(0, self.first_block(extent) + index, 1)

    def expected(self, byte):
        return bytes([byte]) * 512

    def restoring(self, *extents):
        """Clone 1 is being restored from; its Delta Map is `extents`."""
        array = self.array
        array.write(0, 0, array.config.lu_blocks, 0x11)
        array.add_synchronized(1)
        array.fracture(1)
        for extent in extents:
            self.write(extent, 0x22)
        array.drain()
        self.assertEqual(array.delta(1), set(extents))
        array.restore(1)
        self.assert_maps(delta=set(extents), protected=set())

    def assert_maps(self, delta, protected):
        """Delta Map of Clone 1, Protected Restore Map; the persistent one covers both (R4)."""
        self.assertEqual(self.array.delta(1), delta)
        self.assertEqual(self.array.protected(), protected)
        self.assertEqual(self.array.info().protected_restore_extents, len(protected))
        self.assertLessEqual(delta | protected, self.array.persistent())

    def copies(self):
        return self.array.statistics().cod_extents


class E1ThreeHostWrites(Example):
    def test_three_host_writes_during_a_protected_restore(self):
        self.restoring(4, 7)
        self.assertEqual(self.copies(), 0)

        self.write(0, 0x31)
        self.assertEqual(self.copies(), 0)
        self.assert_maps(delta={4, 7}, protected={0})

        since = len(self.array.ios)
        self.write(4, 0x32)
        self.assertEqual(self.copies(), 1)
        self.assertEqual(self.array.copied_extents(since), [4])
        self.assert_maps(delta={7}, protected={0, 4})

        self.write(7, 0x33)
        self.assertEqual(self.copies(), 2)
        self.assertEqual(self.array.copied_extents(since), [4, 7])
        self.assert_maps(delta=set(), protected={0, 4, 7})
        self.assertEqual(self.array.statistics().cod_queued, 2)
        self.assertEqual(self.array.info().cod_queue_depth, 0)

        for extent, byte in ((0, 0x31), (4, 0x32), (7, 0x33)):
            self.assertEqual(self.block(extent, 1), self.expected(byte))
            self.assertEqual(self.block(extent, 0), self.expected(0x11))

    def test_both_writes_wait_in_the_cod_queue(self):
        """Writes 2 and 3 at once: with the copies in flight both are in the queue."""
        self.restoring(4, 7)
        array = self.array
        array.hold = lambda io: io.lu == 1
        requests = [array.submit_write(0, self.first_block(e) + 1, 1, 0x30 + e) for e in (4, 7)]
        self.assertEqual([request.status for request in requests], [None, None])
        array.poll_while_more(array.poll)
        self.assertEqual(array.info().cod_queue_depth, 2)
        self.assertEqual(sorted(extent_of(io, array) for io in array.held), [4, 7])
        self.assert_maps(delta={4, 7}, protected=set())

        array.complete(next(io for io in array.held if extent_of(io, array) == 7))
        array.finish(requests[1])
        self.assertIsNone(requests[0].status)
        self.assertEqual(array.info().cod_queue_depth, 1)
        self.assert_maps(delta={4}, protected={7})

        array.complete(array.held[0])
        array.finish(requests[0])
        self.assertEqual(array.info().cod_queue_depth, 0)
        self.assert_maps(delta=set(), protected={4, 7})


class TwoClones(Example):
    clones = 2

    def restore_a(self):
        """Clone A (1) restores, Clone B (2) is fractured; A's Delta Map has 7 and not 6."""
        array = self.array
        array.write(0, 0, array.config.lu_blocks, 0x11)
        array.add_synchronized(1)
        array.add_synchronized(2)
        array.fracture(1)
        self.write(7, 0x22)
        array.fracture(2)
        array.drain()
        self.assertEqual(array.delta(1), {7})
        self.assertEqual(array.delta(2), set())
        array.restore(1)

    def write_both(self, byte):
        """One host write to extents 6 and 7, to parts of both."""
        return self.array.submit_write(0, self.first_block(7) - 1, 2, byte)


class E2OneWriteOverTwoExtents(TwoClones):
    def test_one_write_over_two_extents_in_different_states(self):
        array = self.array
        self.restore_a()
        array.hold = lambda io: io.lu == 1
        request = self.write_both(0x31)
        array.poll_while_more(array.poll)
        # It waits for 7 alone, and nothing of it is on the Source.
        self.assertIsNone(request.status)
        self.assertEqual([extent_of(io, array) for io in array.held], [7])
        self.assertEqual(array.info().cod_queue_depth, 1)
        self.assertEqual(array.protected(), set())
        self.assertEqual(array.lus[0][self.first_block(7) * 512 - 1], 0x11)

        array.hold = lambda io: False
        since = len(array.ios)
        array.complete(array.held[0])
        array.finish(request)
        self.assertEqual(array.copied_extents(since), [7])
        self.assertEqual(array.delta(1), set())
        self.assertEqual(array.protected(), {6, 7})
        self.assertEqual(array.delta(2), {6, 7})
        self.assertLessEqual({6, 7}, array.persistent())
        # The persistent maps were written before the host's data (R1).
        kinds = [
            (io.operation, bool(io.flags & CLONE_GROUP_IO_HOST)) for io in array.ios[since:]
        ]
        self.assertLess(
            kinds.index((CLONE_GROUP_IO_PERSIST_WRITE, False)),
            kinds.index((CLONE_GROUP_IO_WRITE, True)),
        )
        self.assertEqual(self.block(6, 7), self.expected(0x31))
        self.assertEqual(self.block(7, 0), self.expected(0x31))
        self.assertEqual(self.block(7, 1), self.expected(0x11))


class E3CrashAndRecovery(TwoClones):
    def test_crash_and_recovery_after_e2(self):
        array = self.array
        self.restore_a()
        array.finish(self.write_both(0x31))
        array.crash_and_recover()
        self.assertEqual(array.info().restoring_lu, 1)
        self.assertEqual(array.protected(), {6, 7})
        self.assert_deltas_after_recovery()

        # Nobody copies them: not the COD Engine ...
        since = len(array.ios)
        array.finish(self.write_both(0x32))
        self.assertEqual(self.copies(), 0)
        self.assertEqual(array.protected(), {6, 7})
        # ... nor the Sync Engine.
        array.settle()
        self.assertNotIn(6, array.copied_extents(since))
        self.assertNotIn(7, array.copied_extents(since))
        self.assertEqual(array.info().restoring_lu, 0)
        self.assertEqual(self.block(6, 7), self.expected(0x32))
        self.assertEqual(self.block(7, 0), self.expected(0x32))
        self.assertEqual(self.block(7, 1), self.expected(0x11))

    def test_the_first_host_write_survives(self):
        array = self.array
        self.restore_a()
        array.finish(self.write_both(0x31))
        array.crash_and_recover()
        array.settle()
        self.assertEqual(array.info().restoring_lu, 0)
        self.assertEqual(self.block(6, 7), self.expected(0x31))
        self.assertEqual(self.block(7, 0), self.expected(0x31))
        self.assertEqual(self.block(7, 1), self.expected(0x11))


    def assert_deltas_after_recovery(self):
        """6 and 7 are set for B, so the one column for all has them for A as well; R7 takes them out of
        A's Delta Map at once, because the Protected Restore Map has them."""
        self.assertEqual(self.array.persistent(), {6, 7})
        self.assertEqual(self.array.delta(1), set())
        self.assertEqual(self.array.delta(2), {6, 7})

    def test_what_is_different_for_another_clone_comes_up_for_a_as_well(self):
        """Extent 3 differs from B only. With one column for all, A copies it after the crash."""
        array = self.array
        array.write(0, 0, array.config.lu_blocks, 0x11)
        for lu in (2, 1):
            array.add_synchronized(lu)
        array.fracture(2)
        self.write(3, 0x22)
        array.fracture(1)
        self.write(7, 0x22)
        array.drain()
        array.restore(1)
        self.assertEqual(array.delta(1), {7})
        self.assertEqual(array.delta(2), {3, 7})
        array.crash_and_recover()
        self.assertEqual(array.delta(1), self.a_after_the_crash)
        self.assertEqual(array.delta(2), {3, 7})
        since = len(array.ios)
        array.settle()
        self.assertEqual(set(array.copied_extents(since)), self.a_after_the_crash)
        self.assertEqual(array.lus[0], array.lus[1])
        self.assertEqual(self.block(3, 1), self.expected(0x22))

    a_after_the_crash = {3, 7}


class E3PerClone(E3CrashAndRecovery):
    """The same with a column for each Clone: A comes up with what is A's only."""

    flags = CLONE_GROUP_CONFIG_MAP_PER_CLONE
    a_after_the_crash = {7}

    def assert_deltas_after_recovery(self):
        self.assertEqual(self.array.delta(1), set())
        self.assertEqual(self.array.delta(2), {6, 7})


class E4HostRead(Example):
    def test_a_host_read_gets_the_clones_data_at_once(self):
        self.restoring(4, 7)
        self.assertEqual(self.block(4, 1), self.expected(0x11))
        self.assertEqual(self.array.protected(), set())
        self.assertEqual(self.block(4, 1), self.expected(0x11))
        # One that lies in extents of both kinds, too.
        both = self.array.read(0, self.first_block(6), 16)
        self.assertEqual(both, self.expected(0x11) * 16)
        self.assertEqual(self.array.protected(), set())


class E4RedirectedHostRead(Example):
    flags = CLONE_GROUP_CONFIG_REDIRECT_READS

    def test_a_host_read_is_served_from_the_clone(self):
        """With redirected reads the call itself is enough: no poll, no copy."""
        self.restoring(4, 7)
        since = len(self.array.ios)
        request = self.array.submit_read(0, self.first_block(4), 8)
        self.assertEqual(request.status, CLONE_GROUP_OK)
        self.assertEqual(request.payload.raw, self.expected(0x11) * 8)
        self.assertEqual([(io.operation, io.lu) for io in self.array.ios[since:]], [
            (CLONE_GROUP_IO_READ, 1),
        ])
        self.assertEqual(self.array.statistics().redirected_reads, 1)
        self.assertEqual(self.copies(), 0)
        self.assert_maps(delta={4, 7}, protected=set())


class E5ExtentsBeingCopied(Example):
    def copy_in_flight(self):
        """The Sync Engine copies extent 4 and holds it; 5 and 7 are still to be copied."""
        array = self.array
        self.restoring(4, 5, 7)
        array.hold = lambda io: io.lu == 1
        array.poll_while_more(lambda: array.step(1) if not array.held else array.poll())
        self.assertEqual([extent_of(io, array) for io in array.held], [4])

    def test_no_second_copy_of_an_extent(self):
        array = self.array
        self.copy_in_flight()
        request = array.submit_write(0, self.first_block(4) + 1, 1, 0x31)
        array.poll_while_more(array.poll)
        self.assertIsNone(request.status)
        self.assertEqual(array.info().cod_queue_depth, 1)
        self.assertEqual([extent_of(io, array) for io in array.held], [4])
        self.assert_maps(delta={4, 5, 7}, protected=set())

        array.complete(array.held[0])
        array.finish(request)
        self.assertEqual(self.copies(), 0)
        self.assert_maps(delta={5, 7}, protected={4})
        self.assertEqual(self.block(4, 1), self.expected(0x31))
        self.assertEqual(self.block(4, 2), self.expected(0x11))

    def test_copies_start_for_the_missing_extents_only(self):
        array = self.array
        self.copy_in_flight()
        request = array.submit_write(0, self.first_block(5) - 1, 2, 0x31)
        array.poll_while_more(array.poll)
        self.assertIsNone(request.status)
        self.assertEqual(sorted(extent_of(io, array) for io in array.held), [4, 5])

        array.complete(next(io for io in array.held if extent_of(io, array) == 5))
        array.poll_while_more(array.poll)
        self.assertIsNone(request.status)
        self.assertEqual(array.info().cod_queue_depth, 1)
        array.complete(array.held[0])
        array.finish(request)
        self.assertEqual(self.copies(), 1)
        self.assert_maps(delta={7}, protected={4, 5})
        self.assertEqual(self.block(4, 7), self.expected(0x31))
        self.assertEqual(self.block(5, 0), self.expected(0x31))
        self.assertEqual(self.block(5, 1), self.expected(0x11))


class E6Completion(Example):
    def test_the_protected_restore_map_becomes_the_delta_map(self):
        array = self.array
        self.restoring(4, 7)
        self.write(0, 0x31)
        self.write(4, 0x32)
        point = bytes(array.lus[1])
        self.assert_maps(delta={7}, protected={0, 4})
        array.settle()
        self.assertEqual(array.info().restoring_lu, 0)
        self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_FRACTURED)
        self.assertEqual(array.delta(1), {0, 4})
        self.assertEqual(array.protected(), set())
        self.assertLessEqual({0, 4}, array.persistent())
        self.assertEqual(self.block(0, 1), self.expected(0x31))
        self.assertEqual(self.block(7, 1), self.expected(0x11))

        # The second restore copies exactly those, and yields the same point in time.
        array.restore(1)
        self.assert_maps(delta={0, 4}, protected=set())
        since = len(array.ios)
        array.settle()
        self.assertEqual(sorted(array.copied_extents(since)), [0, 4])
        self.assertEqual(array.delta(1), set())
        self.assertEqual(bytes(array.lus[0]), point)
        self.assertEqual(bytes(array.lus[1]), point)

    def test_the_same_after_close_and_recovery(self):
        array = self.array
        self.restoring(4, 7)
        self.write(0, 0x31)
        array.settle()
        array.administer("close")
        array.destroy()
        array.open()
        array.recover()
        self.assertEqual(array.delta(1), {0})
        array.restore(1)
        since = len(array.ios)
        array.settle()
        self.assertEqual(array.copied_extents(since), [0])
        self.assertEqual(array.lus[0], array.lus[1])


class E7Collision(Example):
    def reversing(self, *extents):
        """Clone 1 is being copied back without protection; its Delta Map is `extents`."""
        array = self.array
        array.write(0, 0, array.config.lu_blocks, 0x11)
        array.add_synchronized(1)
        array.fracture(1)
        for extent in extents:
            self.write(extent, 0x22)
        array.drain()
        array.administer("reverse_synchronize", 1)
        self.assertEqual(array.info().reversing_lu, 1)
        self.assertEqual(array.delta(1), set(extents))

    def copy_until(self, operation):
        """The copy of extent 4 is under way, and its read or its write is held."""
        array = self.array
        array.hold = lambda io: io.operation == operation and not io.flags & CLONE_GROUP_IO_HOST
        array.poll_while_more(lambda: array.step(1) if not array.held else array.poll())
        self.assertEqual([extent_of(io, array) for io in array.held], [4])

    def finish_copy(self):
        array = self.array
        array.hold = lambda io: False
        for io in list(array.held):
            array.complete(io)
        array.poll_while_more(array.poll)

    def write_to_4(self):
        """A host write that is not delayed: both legs go out at once."""
        since = len(self.array.ios)
        self.write(4, 0x33)
        legs = [io.lu for io in self.array.ios[since:] if io.flags & CLONE_GROUP_IO_HOST]
        self.assertEqual(sorted(legs), [0, 1])

    def assert_copied_again(self, collisions):
        """Extent 4 stays in the Delta Map until a copy of it met no write; then both LUs are equal."""
        array = self.array
        self.assertEqual(array.statistics().collisions, collisions)
        self.assertEqual(array.delta(1), {4, 7} if collisions else {7})
        since = len(array.ios)
        array.settle()
        self.assertEqual(array.info().reversing_lu, 0)
        self.assertEqual(sorted(array.copied_extents(since)), [4, 7] if collisions else [7])
        self.assertEqual(array.delta(1), set())
        self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED)
        self.assertEqual(array.lus[0], array.lus[1])
        self.assertEqual(self.block(4, 1), self.expected(0x33))
        self.assertEqual(self.block(4, 0), self.expected(0x11))

    def test_before_the_read_of_the_copy(self):
        self.reversing(4, 7)
        self.copy_until(CLONE_GROUP_IO_READ)
        self.write_to_4()
        self.finish_copy()
        self.assert_copied_again(1)

    def test_between_read_and_write(self):
        """The copy has read the old data, and would write it over the host's."""
        self.reversing(4, 7)
        self.copy_until(CLONE_GROUP_IO_WRITE)
        self.write_to_4()
        self.finish_copy()
        self.assertEqual(self.block(4, 1), self.expected(0x33))
        self.assert_copied_again(1)

    def test_after_the_write(self):
        """The copy is over; a write to both keeps them equal, and nothing is copied again."""
        self.reversing(4, 7)
        self.copy_until(CLONE_GROUP_IO_READ)
        self.finish_copy()
        self.assertEqual(self.array.delta(1), {7})
        self.write_to_4()
        self.assert_copied_again(0)

    def test_under_way_before_the_copy_and_after_it(self):
        """A slow write: its leg to the Source lands before the copy's, that to the Clone after the copy's read."""
        self.reversing(4, 7)
        array = self.array
        array.hold = lambda io: io.operation == CLONE_GROUP_IO_WRITE and io.lu == 1
        request = array.submit_write(0, self.first_block(4) + 1, 1, 0x33)
        array.poll_while_more(array.poll)
        slow = array.held.pop()
        self.copy_until(CLONE_GROUP_IO_WRITE)
        self.finish_copy()
        self.assertIsNone(request.status)
        array.held.append(slow)
        array.complete(slow)
        array.finish(request)
        self.assert_copied_again(1)


if __name__ == "__main__":
    unittest.main()
