//! The exhaustive crash explorer: power is lost at every boundary of every script - each I/O submitted, each one over,
//! each request done - and every image of the media that may be left of it is recovered and checked; then again inside
//! of that Recovery and of what follows.
//!
//! A failure prints the line that replays it. `CLONE_GROUP_EXPLORE_IMAGES=100000000` asks for about that many images,
//! with CLONE_GROUP_EXPLORE_SCRIPTS=restore/ of the scripts whose names begin so. Fewer than there are scripts: every
//! image after one power loss of the chosen scripts.

mod common;
mod scripts;

#[path = "explorer/check.rs"]
mod check;
#[path = "explorer/image.rs"]
mod image;
#[path = "explorer/run.rs"]
mod run;
#[path = "explorer/work.rs"]
mod work;

use run::Limits;
use scripts::Script;

/// What a run of the tests asks for where it is optimized.
const IMAGES: usize = 1_000_000;

/// Every script runs to its end where nothing fails, and at least sixty are tried by every run.
#[test]
fn every_script_runs() {
    for script in scripts::all() {
        let outcome = std::panic::catch_unwind(|| scripts::play(&script));
        assert!(outcome.is_ok(), "{} fails", script.name);
        assert_eq!(scripts::named(&script.name).steps, script.steps);
    }
    assert!(scripts::chosen().len() >= 60);
}

/// The scripts of this run, and how deep each one is explored: every image after one power loss of all of them, and
/// power losses in what follows for the chosen ones; in a long run for all.
fn work() -> Vec<(Script, Limits)> {
    let wanted = std::env::var("CLONE_GROUP_EXPLORE_IMAGES")
        .ok()
        .map(|images| images.parse::<usize>().expect("CLONE_GROUP_EXPLORE_IMAGES is a number"));
    if cfg!(debug_assertions) && wanted.is_none() {
        let limits = Limits { first: 25, second: 10, third: 3, linear: 0 };
        return scripts::chosen().into_iter().step_by(4).map(|script| (script, limits)).collect();
    }
    let images = wanted.unwrap_or(IMAGES);
    let chosen: Vec<String> = scripts::chosen().into_iter().map(|script| script.name).collect();
    let long = images > 5 * IMAGES;
    let short = images < scripts::all().len();
    let share = if long { images / scripts::all().len() } else { images / chosen.len() };
    let limits = |script: &Script| {
        let deeper = long || chosen.contains(&script.name);
        let second = if script.small && !short { usize::MAX } else { share };
        let (second, third) = if deeper { (second, share / 4) } else { (0, 0) };
        Limits { first: usize::MAX, second, third, linear: if short { 0 } else { 2 } }
    };
    let prefix = std::env::var("CLONE_GROUP_EXPLORE_SCRIPTS").unwrap_or_default();
    let mut scripts = if short { scripts::chosen() } else { scripts::all() };
    scripts.retain(|script| script.name.starts_with(&prefix));
    scripts.into_iter().map(|script| (script.clone(), limits(&script))).collect()
}

/// Whatever a power loss leaves, at any moment of any script, and whatever the next one leaves of that: nothing that
/// hosts were promised is lost, and everything comes to its end.
#[test]
fn power_lost_at_every_boundary_of_every_script() {
    if let Ok(line) = std::env::var("CLONE_GROUP_EXPLORE") {
        return run::replay(&line);
    }
    let work = work();
    let summary = work::explore(&work);
    summary.print();
    assert!(summary.failures.is_empty(), "replay with\n{}", summary.failures.join("\n"));
    if !cfg!(debug_assertions) && std::env::var_os("CLONE_GROUP_EXPLORE_IMAGES").is_none() {
        assert!(summary.total.all_checked() >= IMAGES, "the scripts lost their images");
    }
}
