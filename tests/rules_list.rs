//! Goal: tests/README.md says of each rule from R1 to R84 what tests it, or that it is a duty of the controller, or that
//! it is not built; and every test that it names exists.

#[path = "common/programs.rs"]
mod programs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const RULES: usize = 84;

/// Names of tests: functions with the attribute in Rust, methods in Python.
fn tests_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_in(&path, found);
            continue;
        }
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        let text =
            if matches!(kind, "rs" | "py") { fs::read_to_string(&path).expect("a text") } else { continue };
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let rust = line.strip_prefix("fn ").filter(|_| is_test);
            if let Some(name) = rust.or(line.strip_prefix("def ").filter(|name| name.starts_with("test_"))) {
                found.insert(name.split('(').next().unwrap_or_default().to_owned());
            }
            is_test = line == "#[test]" || is_test && line.starts_with("#[");
        }
    }
}

#[test]
fn every_rule_is_in_the_list() {
    let page = programs::read("tests/README.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| R"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let numbers: Vec<_> = rows.iter().map(|row| row[0].to_owned()).collect();
    let expected: Vec<_> = (1..=RULES).map(|number| format!("R{number}")).collect();
    assert_eq!(numbers, expected, "the rules, each once, in order");

    let mut tests = BTreeSet::new();
    tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut tests);
    assert!(tests.contains("every_rule_is_in_the_list"), "the tests are not understood");
    for row in rows {
        let [rule, _, by] = row[..] else { panic!("{row:?}: three cells") };
        // What stands between back ticks.
        let named: Vec<_> = by.split('`').skip(1).step_by(2).collect();
        for name in &named {
            assert!(tests.contains(*name), "{rule}: there is no test {name}");
        }
        let other = by.contains("controller's duty") || by.contains("not built (");
        assert!(!named.is_empty() || other, "{rule}: no test, no duty, and built: {by}");
    }
}
