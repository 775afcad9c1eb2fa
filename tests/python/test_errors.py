"""Errors as a Python program meets them: refusals, statuses of the array's own, and
every reason for which Recovery refuses; what is refused changes nothing."""

import unittest

from bindings import *


class Errors(unittest.TestCase):
    def setUp(self):
        self.array = RamArray(clones=2)
        self.array.open()

    def assert_fails(self, status, function, *arguments):
        with self.assertRaises(Failed) as caught:
            function(*arguments)
        self.assertEqual(caught.exception.status, status, caught.exception)

    def reopened(self, **changes):
        """The same LUs and persistent area under a group with another configuration."""
        self.array.drain()
        self.array.destroy()
        other = RamArray(clones=2, **changes)
        other.lus, other.area = self.array.lus, self.array.area
        other.open()
        self.array = other
        return other


class Requests(Errors):
    def setUp(self):
        super().setUp()
        self.array.format()

    def test_refusals(self):
        array = self.array
        self.assert_fails(CLONE_GROUP_ERR_RANGE, array.read, 0, 64, 1)
        self.assert_fails(CLONE_GROUP_ERR_RANGE, array.write, 0, 63, 2, 1)
        self.assert_fails(CLONE_GROUP_ERR_NO_LU, array.read, 1, 0, 1)
        self.assert_fails(CLONE_GROUP_ERR_NO_LU, array.fracture, 1)
        array.administer("clone_add", 1)
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.read, 1, 0, 1)
        self.assert_fails(CLONE_GROUP_ERR_NOT_CONSISTENT, array.restore, 1)
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.administer, "clone_add", 1)
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.format)
        array.administer("synchronize", 1)
        self.assert_fails(CLONE_GROUP_ERR_NOT_CONSISTENT, array.fracture, 1)
        array.settle()
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.administer, "synchronize", 1)
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.restore, 1)
        array.fracture(1)
        array.write(0, 0, 64, 1)
        array.restore(1)
        self.assert_fails(CLONE_GROUP_ERR_PROTECTED, array.write, 1, 0, 1, 1)
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.restore, 1)
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.administer, "clone_remove", 1)
        self.assert_fails(CLONE_GROUP_ERR_STATE, array.administer, "clone_add", 2)

    def test_a_second_operation_is_told_to_wait(self):
        array = self.array
        first = array.submit("clone_add", 1)
        self.assert_fails(CLONE_GROUP_ERR_BUSY, array.administer, "clone_add", 2)
        array.finish(first)
        array.administer("clone_add", 2)

    def test_a_status_of_the_array_reaches_the_host(self):
        array = self.array
        array.answer = lambda io: -4242 if io.operation == CLONE_GROUP_IO_WRITE else None
        self.assert_fails(-4242, array.write, 0, 0, 1, 1)
        array.answer = lambda io: io.length if io.operation == CLONE_GROUP_IO_READ else None
        self.assert_fails(CLONE_GROUP_ERR_CALLBACK_RESULT, array.read, 0, 0, 1)
        array.answer = lambda io: None
        array.drain()
        self.assertIn(
            (CLONE_GROUP_EVENT_CALLBACK_RESULT, 512),
            [(event[0], event[3]) for event in array.events],
        )
        array.write(0, 0, 1, 1)

    def test_metadata_that_cannot_be_written(self):
        """The write that needs it is refused before its data; all else goes on (R33)."""
        array = self.array
        array.add_synchronized(1)
        array.fracture(1)
        array.write(0, 0, 1, 0x10)
        writes = (CLONE_GROUP_IO_PERSIST_WRITE, CLONE_GROUP_IO_PERSIST_FLUSH)
        array.answer = lambda io: -4242 if io.operation in writes else None
        self.assert_fails(-4242, array.write, 0, 8, 1, 0x11)
        self.assertNotIn(0x11, array.lus[0])
        self.assertTrue(array.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED)
        self.assertIn(CLONE_GROUP_EVENT_METADATA_FAILED, [event[0] for event in array.events])
        array.write(0, 1, 1, 0x12)
        array.read(0, 8, 1)
        self.assert_fails(CLONE_GROUP_ERR_METADATA_FAILED, array.write, 0, 16, 1, 0x13)
        self.assert_fails(CLONE_GROUP_ERR_METADATA_FAILED, array.restore, 1)
        array.answer = lambda io: None
        array.administer("metadata_repair")
        array.drain()
        self.assertIn(CLONE_GROUP_EVENT_METADATA_REPAIRED, [event[0] for event in array.events])
        array.write(0, 16, 1, 0x13)

    def test_closed(self):
        array = self.array
        array.administer("close")
        self.assert_fails(CLONE_GROUP_ERR_CLOSED, array.write, 0, 0, 1, 1)
        self.assert_fails(CLONE_GROUP_ERR_CLOSED, array.administer, "clone_add", 1)
        array.destroy()

    def test_abort_of_a_waiting_request(self):
        """A write that waits for a copy is aborted; one that is at an LU is not (R83)."""
        array = self.array
        array.add_synchronized(1)
        array.fracture(1)
        array.write(0, 0, 64, 1)
        array.restore(1)
        array.hold = lambda io: True
        waiting = array.submit_write(0, 1, 1, 2)
        array.poll_while_more(array.poll)
        submitted = array.submit_read(1, 20, 1)
        self.assertEqual(LIBRARY.clone_group_abort(array.group, waiting.tag), CLONE_GROUP_OK)
        for tag in (submitted.tag, 9999):
            status = LIBRARY.clone_group_abort(array.group, tag)
            self.assertEqual(status, CLONE_GROUP_ERR_NO_REQUEST)
        array.poll_while_more(array.poll)
        self.assertEqual(waiting.status, CLONE_GROUP_ERR_CANCELED)
        array.hold = lambda io: False
        for io in list(array.held):
            array.complete(io)
        array.finish(submitted)
        array.settle()
        self.assertEqual(array.lus[0], array.lus[1])


class Recovery(Errors):
    def test_an_area_that_was_never_formatted(self):
        self.assert_fails(CLONE_GROUP_ERR_METADATA_MISSING, self.array.recover)
        self.array.format()

    def test_an_area_that_is_damaged(self):
        self.array.format()
        array = self.reopened()
        content = bytes(array.area)
        for index in range(len(array.area)):
            array.area[index] ^= 0x55
        damaged = bytes(array.area)
        with self.assertRaises(Failed) as caught:
            array.recover()
        reasons = (CLONE_GROUP_ERR_METADATA_DAMAGED, CLONE_GROUP_ERR_METADATA_MISSING)
        self.assertIn(caught.exception.status, reasons)
        self.assertEqual(bytes(array.area), damaged)
        # One may try again, with the area back.
        array.area[:] = content
        array.recover()

    def test_half_of_each_superblock_is_damaged(self):
        """The magic is still there, the checksum does not fit: damaged, not missing."""
        self.array.format()
        array = self.reopened()
        unit = 4096
        for start in range(0, len(array.area), unit):
            array.area[start + 40 : start + 48] = b"\xa5" * 8
        self.assert_fails(CLONE_GROUP_ERR_METADATA_DAMAGED, array.recover)

    def test_another_group(self):
        self.array.format()
        content = bytes(self.array.area)
        array = self.reopened(group_id=(c_uint8 * 16)(*b"some other group"))
        self.assert_fails(CLONE_GROUP_ERR_METADATA_FOREIGN, array.recover)
        self.assertEqual(bytes(array.area), content)

    def test_another_geometry(self):
        self.array.format()
        for changes in ({"extents": 4}, {"extent_blocks": 16, "extents": 4}):
            array = self.reopened(**changes)
            self.assert_fails(CLONE_GROUP_ERR_METADATA_GEOMETRY, array.recover)

    def test_another_identity(self):
        self.array.format()
        array = self.reopened()
        array.attach(0, b"an unknown LU..."[:16])
        self.assert_fails(CLONE_GROUP_ERR_IDENTITY, array.recover)
        array.attach(0)
        array.recover()

    def test_a_member_that_is_not_attached(self):
        self.array.format()
        self.array.administer("clone_add", 2)
        self.array.drain()
        self.array.destroy()
        array = self.array
        status = LIBRARY.clone_group_create(
            byref(array.config), byref(array.ops), None, 0, byref(array.group)
        )
        self.assertEqual(status, CLONE_GROUP_OK)
        self.assert_fails(CLONE_GROUP_ERR_NO_LU, array.recover)
        array.attach(0)
        array.attach(1)
        self.assert_fails(CLONE_GROUP_ERR_NO_LU, array.recover)
        array.attach(2)
        array.recover()

    def test_format_over_a_group(self):
        self.array.format()
        self.array.administer("clone_add", 1)
        content = bytes(self.array.area)
        array = self.reopened()
        self.assert_fails(CLONE_GROUP_ERR_METADATA_EXISTS, array.format)
        self.assertEqual(bytes(array.area), content)
        array.format(CLONE_GROUP_FORMAT_FORCE)
        self.assertEqual(array.clone_info(1).state, CLONE_GROUP_CLONE_ABSENT)

    def test_a_persistent_area_that_cannot_be_read(self):
        self.array.format()
        array = self.reopened()
        array.answer = lambda io: -77 if io.operation == CLONE_GROUP_IO_PERSIST_READ else None
        self.assert_fails(-77, array.recover)
        array.answer = lambda io: None
        array.recover()


if __name__ == "__main__":
    unittest.main()
