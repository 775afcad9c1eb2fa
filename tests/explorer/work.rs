//! All scripts, on all cores, with a summary.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::{Counts, Explorer, Limits};
use crate::scripts::Script;

/// Failures after which no further script is begun.
const ENOUGH_FAILURES: usize = 4;

/// What became of the whole.
#[derive(Default)]
pub struct Summary {
    by_operation: BTreeMap<String, (usize, Counts, Duration)>,
    pub total: Counts,
    /// Lines that replay what failed.
    pub failures: Vec<String>,
}

/// Explores each script with its limits; as many at a time as there are cores.
pub fn explore(scripts: &[(Script, Limits)]) -> Summary {
    let summary = Mutex::new(Summary::default());
    let next = AtomicUsize::new(0);
    let bar = ProgressBar::new(scripts.len() as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} scripts {elapsed} {eta} {msg}");
    bar.set_style(style.expect("a template"));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((script, limits)) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let mut explorer = Explorer::new(script, *limits);
                    let outcome = explorer.run();
                    let summary = &mut *summary.lock().expect("no panic with the lock");
                    summary.note(&script.name, &explorer.counts, began.elapsed(), outcome);
                    bar.set_message(format!("{} images", summary.total.all_checked()));
                    bar.inc(1);
                    if summary.failures.len() >= ENOUGH_FAILURES {
                        next.store(scripts.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    summary.into_inner().expect("no panic with the lock")
}

impl Summary {
    fn note(&mut self, name: &str, counts: &Counts, time: Duration, outcome: Result<(), String>) {
        let operation = name.split('/').next().unwrap_or_default().to_string();
        let row = self.by_operation.entry(operation).or_default();
        row.0 += 1;
        row.1.add(counts);
        row.2 += time;
        self.total.add(counts);
        if let Err(replay) = outcome {
            println!("after {} images: {replay}", self.total.all_checked());
            self.failures.push(replay);
        }
    }

    /// A row for each operation, and their sum.
    pub fn print(&self) {
        println!(
            "{:10} {:>7} {:>10} {:>11} {:>10} {:>10} {:>9} {:>9} {:>8}",
            "operation",
            "scripts",
            "boundaries",
            "listed",
            "1 loss",
            "2 losses",
            "3 losses",
            "linear",
            "seconds"
        );
        let sum =
            self.by_operation.values().fold((0, Duration::ZERO), |sum, row| (sum.0 + row.0, sum.1 + row.2));
        for (operation, (scripts, counts, time)) in &self.by_operation {
            print(operation, *scripts, counts, *time);
        }
        print("all", sum.0, &self.total, sum.1);
        println!("{} images recovered and checked", self.total.all_checked());
    }
}

fn print(operation: &str, scripts: usize, counts: &Counts, time: Duration) {
    let Counts { boundaries, raw, checked, linear } = counts;
    println!(
        "{operation:10} {scripts:7} {boundaries:10} {raw:11} {:10} {:10} {:9} {linear:9} {:8.1}",
        checked[0],
        checked[1],
        checked[2],
        time.as_secs_f64()
    );
}
