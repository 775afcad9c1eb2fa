"""A whole life of a group from Python: create, Synchronization, Fracture, Protected
Restore under host I/O, power loss, Recovery, close. Images kept here say what
each LU must hold."""

import unittest

from bindings import *


def painted(array, image, first_block, block_count, byte):
    start = first_block * array.block_bytes
    end = start + block_count * array.block_bytes
    return image[:start] + bytes([byte]) * (end - start) + image[end:]


class Life(unittest.TestCase):
    def setUp(self):
        self.array = RamArray(clones=2, extents=40, copy_buffer_bytes=8192)
        self.array.open()
        self.array.format()
        self.source = bytes(self.array.lus[0])

    def write(self, first_block, block_count, byte):
        self.array.write(0, first_block, block_count, byte)
        self.source = painted(self.array, self.source, first_block, block_count, byte)

    def test_create_to_close(self):
        array = self.array
        self.assertEqual(array.info().state, CLONE_GROUP_STATE_READY)
        self.assertEqual(array.info().extents_total, 40)
        self.write(0, 100, 1)

        array.add_synchronized(1)
        array.add_synchronized(2)
        self.assertEqual(bytes(array.lus[1]), self.source)
        self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED)
        self.write(50, 30, 2)
        self.assertEqual(bytes(array.lus[1]), self.source)

        array.fracture(1, b"before the upgrade")
        self.assertEqual(bytes(array.clone_info(1).label).rstrip(b"\0"), b"before the upgrade")
        point = self.source
        self.write(3, 200, 3)
        self.assertEqual(bytes(array.lus[1]), point)
        self.assertEqual(array.delta(1), set(range(0, 26)))

        undo = self.source
        array.restore(1)
        self.source = point
        self.assertEqual(array.info().restoring_lu, 1)
        self.assertEqual(array.clone_info(2).state, CLONE_GROUP_CLONE_FRACTURED)
        self.assertEqual(array.read(0, 0, 16), point[: 16 * 512])
        self.write(40, 5, 4)
        array.step(1)

        array.crash_and_recover()
        self.assertEqual(array.info().restoring_lu, 1)
        self.assertEqual(array.read(0, 40, 5), bytes([4]) * (5 * 512))
        array.settle()
        self.assertIn(CLONE_GROUP_EVENT_RESTORED, [event[0] for event in array.events])
        self.assertEqual(array.info().restoring_lu, 0)
        self.assertEqual(array.read_all(0), self.source)
        self.assertEqual(bytes(array.lus[0]), self.source)
        self.assertEqual(bytes(array.lus[1]), point)
        self.assertEqual(bytes(array.lus[2]), undo)

        array.administer("close")
        self.assertEqual(array.info().state, CLONE_GROUP_STATE_CLOSED)
        array.destroy()

    def test_close_and_recover_keep_the_exact_maps(self):
        array = self.array
        array.add_synchronized(1)
        array.fracture(1, b"x")
        self.write(8 * 5, 1, 7)
        self.write(8 * 9, 1, 7)
        array.administer("close")
        array.destroy()
        array.open()
        array.recover()
        self.assertEqual(array.delta(1), {5, 9})
        self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_FRACTURED)
        self.assertEqual(bytes(array.clone_info(1).label[:1]), b"x")
        array.administer("synchronize", 1)
        before = array.statistics().sync_extents
        array.settle()
        self.assertEqual(array.statistics().sync_extents - before, 2)
        self.assertEqual(array.lus[1], array.lus[0])

    def test_callbacks_that_are_late(self):
        """All I/O returns PENDING; the last one that was asked for ends first."""
        array = self.array
        array.hold = lambda io: True
        poll, step = array.poll, array.step

        def backwards(call):
            def complete_and_call(*arguments):
                if array.held:
                    array.complete(array.held[-1])
                return call(*arguments)

            return complete_and_call

        array.poll, array.step = backwards(poll), backwards(step)
        array.add_synchronized(1)
        blocks = range(0, 300, 10)
        requests = [array.submit_write(0, block, 9, block % 251) for block in blocks]
        for request, block in zip(requests, blocks):
            array.finish(request)
            self.source = painted(array, self.source, block, 9, block % 251)
        array.settle()
        self.assertEqual(bytes(array.lus[0]), self.source)
        self.assertEqual(bytes(array.lus[1]), self.source)


if __name__ == "__main__":
    unittest.main()
