//! The atomics and the lock of `src/atomic.rs` under loom.
//!
//! loom takes a sequentially consistent access for acquire and release, which allows more than the language does and
//! gives false alarms; but it knows sequentially consistent fences. So `AtomicUsize`, which the maps are made of, has
//! one on either side of each such access: then there is one order of all of them. Weaker accesses have none.
//!
//! loom does not know either that nothing comes between what a swap reads and what it writes, so that a store of one
//! thread and a swap of another one may both be the last. A store of an `AtomicBool` is therefore a swap whose result
//! nobody sees; it acquires nothing.

use loom::sync::atomic::{self, fence};
pub use loom::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// A word of a map, or of the bitmap of completions.
#[derive(Default, Debug)]
pub struct AtomicUsize(atomic::AtomicUsize);

fn ordered<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    let fenced = matches!(order, Ordering::SeqCst);
    if fenced {
        fence(Ordering::SeqCst);
    }
    let result = access();
    if fenced {
        fence(Ordering::SeqCst);
    }
    result
}

#[allow(missing_docs)] // those of core
impl AtomicUsize {
    pub fn new(value: usize) -> AtomicUsize {
        AtomicUsize(atomic::AtomicUsize::new(value))
    }

    pub fn load(&self, order: Ordering) -> usize {
        ordered(order, || self.0.load(order))
    }

    pub fn store(&self, value: usize, order: Ordering) {
        ordered(order, || self.0.store(value, order));
    }

    pub fn fetch_or(&self, bits: usize, order: Ordering) -> usize {
        ordered(order, || self.0.fetch_or(bits, order))
    }

    pub fn fetch_and(&self, bits: usize, order: Ordering) -> usize {
        ordered(order, || self.0.fetch_and(bits, order))
    }

    pub fn fetch_add(&self, number: usize, order: Ordering) -> usize {
        ordered(order, || self.0.fetch_add(number, order))
    }

    pub fn fetch_sub(&self, number: usize, order: Ordering) -> usize {
        ordered(order, || self.0.fetch_sub(number, order))
    }
}

/// A flag that some swap and others store.
#[derive(Debug)]
pub struct AtomicBool(atomic::AtomicBool);

#[allow(missing_docs)] // those of core
impl AtomicBool {
    pub fn new(value: bool) -> AtomicBool {
        AtomicBool(atomic::AtomicBool::new(value))
    }

    pub fn load(&self, order: Ordering) -> bool {
        self.0.load(order)
    }

    pub fn store(&self, value: bool, order: Ordering) {
        self.0.swap(value, order);
    }

    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value, order)
    }
}

pub use loom::sync::MutexGuard;

/// The lock of a group.
#[derive(Debug)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

#[allow(missing_docs)] // those of spin
impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
