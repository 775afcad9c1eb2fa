//! Goal: every decision of the library is one that some test would miss. Each rule of `src/knock_out.rs` is left out in turn,
//! and some test has to fail; none fails while all rules are kept. `tests/knock-outs.md` is what the last whole run found.
//!
//! ```text
//! tools/knock-outs             what the table says holds: each rule with the test that noticed it, the others if that is not so
//! tools/knock-outs --update    a whole run: every test in turn until one notices; writes the table
//! tools/knock-outs R5 N3       these rules only, also with --update
//! ```

#[path = "knock_outs/catcher.rs"]
mod catcher;
#[path = "knock_outs/redundant.rs"]
mod redundant;
#[path = "knock_outs/table.rs"]
mod table;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ::clone_group::knock_out;
use catcher::{CATCHERS, Catcher, Found, Programs};
use redundant::{OPEN, REDUNDANT};
use table::{Outcome, Row};

/// A run that takes longer than the slowest one with all rules kept, many times over, stands still.
const PATIENCE: u32 = 10;
/// The least that is waited for any test.
const TIMEOUT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let update = asked.iter().any(|word| word == "--update");
    let names: Vec<&String> = asked.iter().filter(|word| !word.starts_with('-')).collect();
    let rules: Vec<_> = knock_out::rules()
        .filter(|rule| names.is_empty() || names.iter().any(|name| *name == rule.0))
        .collect();
    if rules.is_empty() || !names.is_empty() && rules.len() != names.len() {
        eprintln!("knock-outs: there is no such rule in src/knock_out.rs");
        return ExitCode::FAILURE;
    }
    let began = Instant::now();
    let programs = Programs::build();
    let run = Run { programs: &programs, before: if update { Vec::new() } else { table::read() }, update };
    let rows = run.all(&rules);
    let mut failed = report(&rows);
    if update {
        table::write(&rows);
    } else if names.is_empty() && !table::agrees(&rows) {
        println!("tests/knock-outs.md is not of these rules: tools/knock-outs --update");
        failed = true;
    }
    println!("{}, {} s", table::summary(&rows), began.elapsed().as_secs());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Run<'a> {
    programs: &'a Programs,
    /// Who noticed what in the last whole run.
    before: Vec<(String, Found)>,
    update: bool,
}

impl Run<'_> {
    /// With all rules kept nothing fails; then one rule after the other, on every CPU.
    fn all(&self, rules: &[(&'static str, &'static str)]) -> Vec<Row> {
        let timeouts = if self.update { self.baseline() } else { CATCHERS.map(|_| TIMEOUT * 4).to_vec() };
        let bar = progress(rules.len());
        each(rules, |&(name, what)| {
            bar.set_message(name);
            let row = Row { name, what, outcome: self.outcome(name, &timeouts) };
            bar.suspend(|| table::print(&row));
            bar.inc(1);
            row
        })
    }

    fn baseline(&self) -> Vec<Duration> {
        let bar = progress(CATCHERS.len());
        each(&CATCHERS, |catcher| {
            bar.set_message(catcher.binary);
            let began = Instant::now();
            let found = self.programs.run(catcher, "", None, Duration::from_secs(1800));
            assert!(found.is_none(), "{catcher:?} fails with all rules kept: {found:?}");
            bar.inc(1);
            (began.elapsed() * PATIENCE).max(TIMEOUT)
        })
    }

    fn outcome(&self, rule: &str, timeouts: &[Duration]) -> Outcome {
        let redundant = REDUNDANT.iter().find(|(name, _)| *name == rule).map(|(_, why)| *why);
        if redundant.is_some() && !self.update {
            return Outcome::Redundant(redundant.unwrap_or_default());
        }
        if let Some((_, before)) = self.before.iter().find(|(name, _)| name == rule)
            && let Some(found) = self.again(rule, before)
        {
            return Outcome::Noticed(found);
        }
        let found = CATCHERS
            .iter()
            .zip(timeouts)
            .find_map(|(catcher, &timeout)| self.programs.run(catcher, rule, None, timeout));
        match (found, redundant) {
            (Some(found), None) => Outcome::Noticed(found),
            (Some(found), Some(_)) => Outcome::NotRedundant(found),
            (None, Some(why)) => Outcome::Redundant(why),
            (None, None) => Outcome::Unnoticed,
        }
    }

    /// The test that noticed it in the last whole run, and only the life that did.
    fn again(&self, rule: &str, before: &Found) -> Option<Found> {
        let catcher = Catcher::of(before)?;
        let found = self.programs.run(&catcher, rule, before.replay(), TIMEOUT)?;
        Some(Found { after: before.after.clone(), ..found })
    }
}

/// Does this with every item, as many at once as there are CPUs. The results are in the order of the items.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { break };
                    let result = work(item);
                    results.lock().expect("no worker panicked").push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panicked");
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn progress(steps: usize) -> indicatif::ProgressBar {
    let style = "{bar:40} {pos}/{len} {msg} {elapsed}";
    // It draws on stderr, and only if that is a terminal.
    indicatif::ProgressBar::new(steps as u64)
        .with_style(indicatif::ProgressStyle::with_template(style).expect("a template"))
}

fn report(rows: &[Row]) -> bool {
    let mut failed = false;
    for row in rows {
        match &row.outcome {
            Outcome::Noticed(_) | Outcome::Redundant(_) => continue,
            Outcome::Unnoticed => {
                println!("{}: NOBODY NOTICED: {}: a test is missing", row.name, row.what);
                if OPEN.contains(&row.name) {
                    continue;
                }
            }
            Outcome::NotRedundant(found) => {
                println!("{}: is said to be redundant, but {found} noticed", row.name)
            }
        }
        failed = true;
    }
    failed
}
