# Builds and installs the library for C programs.
#   make                 target/release/libclone_group.so and .a
#   make install         the library, its header and clone_group.pc
#   make install-check   installs into a folder of its own, and builds and runs a program from there
#   make header          include/clone_group.h from src/ffi
#   make system-test     the nbdkit array under real programs (tests/system); skips what is not installed
#   make check           what CI runs
# PREFIX, LIBDIR, INCLUDEDIR and DESTDIR say where to; CARGO_FLAGS goes to cargo build.

CARGO ?= cargo
CARGO_FLAGS ?=
CARGO_TARGET_DIR ?= target
OBJCOPY ?= objcopy
INSTALL ?= install
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DESTDIR ?=

TARGET := $(abspath $(CARGO_TARGET_DIR))
BUILT := $(TARGET)/release
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# The number is that of the ABI; build.rs writes the same name into the library.
SONAME := libclone_group.so.1
# A static library that defines these would clash with a program that has its own.
WEAK := $(patsubst %,--weaken-symbol=%,host_write cod_poll sync_step recover)
PC_VALUES = -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
	-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|'

.PHONY: all install install-check header system-test check
all:
	CARGO_TARGET_DIR='$(TARGET)' $(CARGO) build --release $(CARGO_FLAGS)

install: all
	$(INSTALL) -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(INCLUDEDIR)'
	$(INSTALL) -m 755 '$(BUILT)/libclone_group.so' '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sfn '$(SONAME)' '$(DESTDIR)$(LIBDIR)/libclone_group.so'
	$(INSTALL) -m 644 '$(BUILT)/libclone_group.a' '$(DESTDIR)$(LIBDIR)/libclone_group.a'
	$(OBJCOPY) $(WEAK) '$(DESTDIR)$(LIBDIR)/libclone_group.a'
	$(INSTALL) -m 644 include/clone_group.h '$(DESTDIR)$(INCLUDEDIR)/clone_group.h'
	sed $(PC_VALUES) clone_group.pc.in > '$(DESTDIR)$(LIBDIR)/pkgconfig/clone_group.pc'

# pkg-config and the loader find everything under CHECKED, and nothing elsewhere.
CHECKED = $(TARGET)/install-check
PKG_CONFIG_CHECKED = env PKG_CONFIG_SYSROOT_DIR='$(CHECKED)' PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 \
	PKG_CONFIG_LIBDIR='$(CHECKED)$(LIBDIR)/pkgconfig' PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config

install-check:
	rm -rf '$(CHECKED)'
	$(MAKE) install DESTDIR='$(CHECKED)'
	test "$$($(PKG_CONFIG_CHECKED) --modversion clone_group)" = '$(VERSION)'
	$(CC) -std=c99 -o '$(CHECKED)/shared' c-examples/minimal.c \
		$$($(PKG_CONFIG_CHECKED) --cflags --libs clone_group)
	$(CC) -std=c99 -o '$(CHECKED)/static' c-examples/minimal.c $$($(PKG_CONFIG_CHECKED) \
		--cflags --libs --static clone_group | sed 's/-lclone_group/-l:libclone_group.a/')
	LD_LIBRARY_PATH='$(CHECKED)$(LIBDIR)' '$(CHECKED)/shared'
	env -u LD_LIBRARY_PATH '$(CHECKED)/static'
	@echo 'A program built with pkg-config runs, with the shared and with the static library.'

header:
	CLONE_GROUP_UPDATE_HEADER=1 $(CARGO) build

system-test:
	tests/system/run

check:
	.ci/run
