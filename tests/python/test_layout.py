"""The ctypes declarations are those of the header: layout, numbers, functions.

The Rust test that starts this passes what tests/c/layout.c and the constants
program printed (CLONE_GROUP_LAYOUT, CLONE_GROUP_CONSTANTS: paths), so that no
compiler is needed here. Both directions are compared: nothing is missing.
"""

import ctypes
import os
import re
import unittest

import bindings

HEADER = os.path.join(os.path.dirname(__file__), "..", "..", "include", "clone_group.h")
LAYOUT_32 = os.path.join(os.path.dirname(__file__), "..", "abi", "1", "layout-32.txt")
NUMBERS = (ctypes.c_uint8, ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64)


def lines_of(variable):
    path = os.environ.get(variable)
    if path is None:
        raise unittest.SkipTest(f"{variable} is not set: there was no C compiler")
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def header():
    with open(HEADER, encoding="utf-8") as file:
        return file.read()


def structs():
    return {
        name: value
        for name, value in vars(bindings).items()
        if isinstance(value, type)
        and issubclass(value, ctypes.Structure)
        and name.startswith("clone_group_")
    }


class Layout(unittest.TestCase):
    def test_structs_are_laid_out_as_in_c(self):
        mine = []
        for name, struct in structs().items():
            mine.append(f"{name} size {ctypes.sizeof(struct)}")
            mine.append(f"{name} align {ctypes.alignment(struct)}")
            for field, _ in struct._fields_:
                place = getattr(struct, field)
                mine.append(f"{name}.{field} {place.offset} {place.size}")
        self.assertEqual(sorted(lines_of("CLONE_GROUP_LAYOUT")), sorted(mine))

    def test_structs_on_32_bits_are_those_of_the_list(self):
        """The same fields with pointers of 32 bits, against the list with which
        tools/firmware-proof compares C and Rust on each target of 32 bits."""
        mine = []
        for name, struct in structs().items():
            fields = [
                (field, kind if issubclass(kind, NUMBERS + (ctypes.Array,)) else ctypes.c_uint32)
                for field, kind in struct._fields_
            ]
            small = type(name, (ctypes.Structure,), {"_fields_": fields})
            for field, _ in fields:
                place = getattr(small, field)
                mine.append(f"{name}.{field} {place.offset} {place.size}")
        with open(LAYOUT_32, encoding="utf-8") as file:
            frozen = [line for line in file.read().splitlines() if not line.startswith("#")]
        self.assertEqual(sorted(frozen), sorted(mine))

    def test_constants_have_the_numbers_of_the_header(self):
        mine = [
            f"{name} {value}"
            for name, value in vars(bindings).items()
            if name.startswith("CLONE_GROUP_")
        ]
        self.assertEqual(sorted(lines_of("CLONE_GROUP_CONSTANTS")), sorted(mine))

    def test_every_function_of_the_header_is_declared(self):
        prototypes = re.findall(r"^(?:const char \*|u?int32_t )(\w+)\(", header(), re.MULTILINE)
        self.assertEqual(sorted(prototypes), sorted(bindings.PROTOTYPES))

    def test_every_struct_of_the_header_is_declared(self):
        names = re.findall(r"^struct (\w+) \{", header(), re.MULTILINE)
        self.assertEqual(sorted(names), sorted(structs()))

    def test_the_library_is_of_this_abi(self):
        version = bindings.LIBRARY.clone_group_abi_version()
        self.assertEqual(version, bindings.CLONE_GROUP_ABI_VERSION)
        self.assertRegex(bindings.LIBRARY.clone_group_version().decode(), r"^\d+\.\d+\.\d+")


if __name__ == "__main__":
    unittest.main()
