//! Runs lives, one for each seed: on every core, with a line that replays the first that fails, and with a table of what
//! they went through.
//!
//! `CLONE_GROUP_SEED=17` runs that one, `CLONE_GROUP_SEEDS=20000` so many, `CLONE_GROUP_SEEDS=5000..9000` those. A long
//! run shows its progress if stderr is a terminal, or with `CLONE_GROUP_PROGRESS=1`.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::world::{Tally, World};

/// What a life, or all of them, went through.
#[derive(Clone, Default, Debug)]
pub struct Summary {
    pub seeds: u64,
    pub tally: Tally,
    pub histories: u64,
    pub searched: u64,
    /// Of everything that happened, in the order of the seeds: two runs of the same seeds have the same.
    pub digest: u64,
    /// What else a test counts.
    pub counts: Vec<(&'static str, u64)>,
}

impl Summary {
    /// Of one array, at its end.
    pub fn of(world: &World) -> Summary {
        let inner = &mut *world.inner.borrow_mut();
        inner.history.end_all();
        Summary {
            seeds: 1,
            tally: inner.tally,
            histories: inner.history.checked,
            searched: inner.history.searched,
            digest: inner.digest,
            counts: Vec::new(),
        }
    }

    pub fn count(&mut self, what: &'static str, number: u64) {
        match self.counts.iter_mut().find(|count| count.0 == what) {
            Some(count) => count.1 += number,
            None => self.counts.push((what, number)),
        }
    }

    /// How often it was counted.
    pub fn counted(&self, what: &str) -> u64 {
        self.counts.iter().find(|count| count.0 == what).map_or(0, |count| count.1)
    }

    /// The sum does not depend on the order.
    pub fn add(&mut self, other: &Summary) {
        self.seeds += other.seeds;
        self.tally.add(&other.tally);
        self.histories += other.histories;
        self.searched += other.searched;
        self.digest = self.digest.wrapping_add(other.digest);
        other.counts.iter().for_each(|&(what, number)| self.count(what, number));
    }
}

/// The seeds that the environment asks for, or so many.
pub fn seeds(unless_asked: u64) -> Range<u64> {
    let number =
        |text: &str| text.parse::<u64>().expect("CLONE_GROUP_SEED and CLONE_GROUP_SEEDS are numbers");
    if let Ok(seed) = std::env::var("CLONE_GROUP_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match std::env::var("CLONE_GROUP_SEEDS") {
        Ok(range) if range.contains("..") => {
            let (first, end) = range.split_once("..").expect("it contains it");
            number(first)..number(end)
        }
        Ok(count) => 0..number(&count),
        Err(_) => 0..unless_asked,
    }
}

thread_local! {
    /// What the first check that failed said, while this thread runs lives.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
    static RUNS_LIVES: Cell<bool> = const { Cell::new(false) };
}

/// Failures of lives are told in one line, when it is known which seed comes first. A replay tells everything.
fn quiet_failures() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !RUNS_LIVES.get() || std::env::var_os("CLONE_GROUP_SEED").is_some() {
                others(info);
            }
            let payload = info.payload();
            let message = payload.downcast_ref::<String>().map(String::as_str);
            let message = message.or(payload.downcast_ref::<&str>().copied()).unwrap_or("?");
            let place = info.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
            let said = format!("{message}{place}");
            SAID.with_borrow_mut(|first| {
                first.get_or_insert(said);
            });
        }));
    });
}

/// Runs a life; its failure in a sentence.
pub fn attempt(seed: u64, life: impl Fn(u64) -> Summary) -> Result<Summary, String> {
    quiet_failures();
    RUNS_LIVES.set(true);
    SAID.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| life(seed)));
    RUNS_LIVES.set(false);
    outcome.map_err(|_| SAID.take().unwrap_or_default().replace('\n', " "))
}

/// Runs a life for every seed. `replay` is the command behind the seed. The failure of the lowest seed fails the test.
pub fn run(replay: &str, seeds: Range<u64>, life: impl Fn(u64) -> Summary + Sync) -> Summary {
    let began = Instant::now();
    let bar = progress(replay, seeds.end - seeds.start);
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let total = Mutex::new(Summary::default());
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            match attempt(seed, &life) {
                Ok(summary) => total.lock().unwrap().add(&summary),
                Err(said) => {
                    stop.store(true, Ordering::Relaxed);
                    let mut failed = failed.lock().unwrap();
                    if failed.as_ref().is_none_or(|first| seed < first.0) {
                        *failed = Some((seed, said));
                    }
                }
            }
            bar.inc(1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if seeds.end - seeds.start == 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    bar.finish_and_clear();
    if let Some((seed, said)) = failed.into_inner().unwrap() {
        panic!("replay: CLONE_GROUP_SEED={seed} {replay} # {said}");
    }
    let total = total.into_inner().unwrap();
    print_table(replay, &total, began.elapsed());
    total
}

fn progress(replay: &str, length: u64) -> ProgressBar {
    let asked = std::env::var_os("CLONE_GROUP_PROGRESS").is_some();
    if length == 1 || !asked && !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} seeds, {per_sec}, {eta} left");
    bar.set_style(style.expect("a template").progress_chars("=> "));
    bar.set_message(replay.rsplit(' ').next().unwrap_or_default().to_string());
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// With `--nocapture`, or if progress was asked for, the run ends with a table.
fn print_table(replay: &str, total: &Summary, took: Duration) {
    let tally = &total.tally;
    let mut rows = vec![
        ("seeds", total.seeds),
        ("host I/Os", tally.host_ios),
        ("I/Os of LUs and metadata", tally.ios),
        ("power losses", tally.power_losses),
        ("faults", tally.faults),
        ("operations", tally.operations),
        ("histories checked", total.histories),
        ("histories searched", total.searched),
    ];
    rows.extend(&total.counts);
    println!("{} in {:.1} s, digest {:016x}", replay, took.as_secs_f64(), total.digest);
    rows.iter().for_each(|(what, number)| println!("  {what:<28}{number:>14}"));
}
