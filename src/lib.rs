//! Clone Groups for storage-array controllers: a production volume (the Source), its full copies (Clones), and
//! Protected Restore.
//!
//! C programs use `include/clone_group.h`; see README.md. The core, all modules but `ffi`, is a state machine
//! without I/O, allocation and unsafe code; `ffi` checks arguments, carves the workspace and calls the controller.

#![no_std]
// Without knock-outs `kept!` is one constant, and expressions with two of them look as if they could be shorter. The
// build with knock-outs is held to this lint.
#![cfg_attr(not(feature = "knock-outs"), allow(clippy::nonminimal_bool))]

#[cfg(all(feature = "knock-outs", not(feature = "std")))]
compile_error!(
    "knock-outs leave rules of the protocol out: they are for the hosted tests, and no firmware may have them"
);

// Hosted builds, and every build that unwinds (cargo test), take the standard library for its panic handler.
#[cfg(any(feature = "std", panic = "unwind", test))]
extern crate std;

#[cfg(not(any(feature = "std", panic = "unwind", test)))]
mod panic_proof {
    //! The firmware build has no reachable panic. The proof is at link time: the handler calls a symbol that
    //! does not exist, so that a build with a reachable panic does not link.

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        unsafe extern "C" {
            fn clone_group_panic_is_reachable() -> !;
        }
        // SAFETY: never called: no program with a call of it links.
        unsafe { clone_group_panic_is_reachable() }
    }
}

mod atomic;
mod cancel;
mod change;
mod checksum;
mod classify;
mod clone;
mod clone_io_manager;
mod close;
mod cod_engine;
mod cod_queue;
mod cod_scoreboard;
mod collision_detector;
mod columns;
mod compare;
mod completion;
mod config;
mod copy;
mod copy_progress;
mod delta_map;
pub mod error;
mod event;
pub mod extent_map;
pub mod ffi;
mod flush;
mod format;
pub mod geometry;
mod group;
mod host_flush;
mod intent_sweeper;
mod io;
mod io_slots;
#[cfg(not(feature = "knock-outs"))]
mod knock_out;
#[cfg(feature = "knock-outs")]
pub mod knock_out;
mod lu;
mod map_page;
mod metadata_writer;
mod mirror;
mod mismatch;
mod operation;
mod overwrite;
mod parts;
mod persistent_delta_map;
mod poll;
mod protected_restore_map;
mod query;
mod recovery;
mod repair;
mod request;
mod reverse_synchronization;
mod set;
mod start;
mod statistics;
mod superblock;
mod sync_engine;
mod table;
mod transition;
mod turn;
mod verify;

// What tests/loom.rs runs in every order.
#[cfg(loom)]
#[doc(hidden)]
pub mod loom_atomic {
    //! The atomics that the library uses then.
    pub use crate::atomic::{AtomicUsize, Mutex, Ordering};
}
#[cfg(loom)]
#[doc(hidden)]
pub use {
    completion::{Completion, Completions, words_needed},
    set::{Ballot, Votes},
    turn::{Polling, Turn},
};
