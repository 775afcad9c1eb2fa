//! Runs a small program in all orders.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Preemptions in an order, unless the environment says otherwise.
pub const PREEMPTIONS: usize = 4;

/// Runs the program in every order, and says how many those were.
pub fn every_order(name: &str, program: impl Fn() + Send + Sync + 'static) {
    every_order_within(PREEMPTIONS, name, program);
}

/// As above, for a program that is too long for the usual number of preemptions.
pub fn every_order_within(preemptions: usize, name: &str, program: impl Fn() + Send + Sync + 'static) {
    let asked = std::env::var("CLONE_GROUP_PREEMPTIONS").ok();
    let preemptions = asked.and_then(|number| number.parse().ok()).unwrap_or(preemptions);
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    let begin = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        program();
    });
    let orders = orders.load(Ordering::Relaxed);
    let seconds = begin.elapsed().as_secs_f32();
    let _ = writeln!(
        std::io::stderr(),
        "{name}: {orders} orders, at most {preemptions} preemptions, {seconds:.1} s"
    );
    assert!(orders > 1, "{name}: nothing ran beside anything else");
}

/// Something that all threads of a program see, and that ends with it: threads of loom borrow nothing.
pub struct Shared<T: 'static> {
    place: *mut T,
}

impl<T> Shared<T> {
    /// Shares it.
    pub fn new(value: T) -> Shared<T> {
        Shared { place: Box::into_raw(Box::new(value)) }
    }

    /// Lends it; not for longer than the threads of the program.
    pub fn lend(&self) -> &'static T {
        // SAFETY: from a box, which is there until this is dropped: when all threads were joined.
        unsafe { &*self.place }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: from a box; the threads that it was lent to were joined before.
        drop(unsafe { Box::from_raw(self.place) });
    }
}
