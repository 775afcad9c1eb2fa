//! The scripts that the crash explorer and the fault loops run.

mod common;
mod scripts;

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
