#![forbid(unsafe_code)]
//! Where atomics and the lock of a group come from: one place, so that `tests/loom.rs` and `tests/shuttle.rs` can
//! put those of a model checker in their place and run the same code in other orders (d7).

#[cfg(not(any(loom, shuttle)))]
pub use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
#[cfg(not(any(loom, shuttle)))]
pub use spin::{Mutex, MutexGuard};

#[cfg(loom)]
#[path = "../tests/loom/atomic.rs"]
mod model;
#[cfg(shuttle)]
#[path = "../tests/shuttle/atomic.rs"]
mod model;
#[cfg(any(loom, shuttle))]
pub use model::*;
