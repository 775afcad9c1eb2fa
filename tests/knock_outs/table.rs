//! `tests/knock-outs.md`: what a whole run found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use ::clone_group::knock_out;

use super::catcher::Found;

/// What became of a rule that was left out.
pub enum Outcome {
    Noticed(Found),
    /// Nobody noticed, and this is why nobody can.
    Redundant(&'static str),
    /// It is said that nobody can, and somebody did.
    NotRedundant(Found),
    Unnoticed,
}

pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    pub outcome: Outcome,
}

const HEAD: &str = "\
# Knock-outs

One rule at a time is left out, and the tests have to notice: first random lives, 1,000 without faults, 1,000 with faults and
1,000 of sets of groups; then power losses at every boundary of 131 scripts; then more random lives, 1,000 with faults that
last, 1,000 in Reverse Synchronizations, 400 whose metadata suffers, 400 that must end in time, 200 whose copies are cut short
and 100 under pressure; then faults in every call of every script, and at last the tests of single rules.
So whoever is named is the first to notice, and often not the only one.
Written by `tools/knock-outs --update`; `tools/knock-outs` shows that it is still so. Where a rule is left out, the core asks
`kept!` for it (`src/knock_out.rs`). *Stands still*: the test was ended, because something that must come to an end did not.

| rule | without it | noticed by | after |
| --- | --- | --- | --- |
";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/knock-outs.md")
}

/// The cells of every rule in the table.
fn cells() -> Vec<Vec<String>> {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| R") || line.starts_with("| N"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Who noticed what.
pub fn read() -> Vec<(String, Found)> {
    let found = |row: Vec<String>| {
        let [name, _, by, after] = <[String; 4]>::try_from(row).ok()?;
        let (binary, test) = by.split_once(".rs`, `")?;
        let test = test.trim_end_matches('`').to_owned();
        Some((name, Found { binary: binary.trim_start_matches('`').to_owned(), test, after }))
    };
    cells().into_iter().filter_map(found).collect()
}

/// Whether the table is of these rules.
pub fn agrees(rows: &[Row]) -> bool {
    let written: Vec<_> = cells().into_iter().map(|row| row[..2].to_vec()).collect();
    written
        .iter()
        .map(|row| row.iter().map(String::as_str).collect::<Vec<_>>())
        .eq(rows.iter().map(|row| vec![row.name, row.what]))
}

/// Writes these rows; those of other rules stay as they are.
pub fn write(rows: &[Row]) {
    let before = cells();
    let mut text = HEAD.to_owned();
    for (name, _) in knock_out::rules() {
        let row = rows.iter().find(|row| row.name == name).map(line);
        let old = before.iter().find(|row| row[0] == name).map(|row| format!("| {} |", row.join(" | ")));
        let _ = row.or(old).map(|row| writeln!(text, "{}", row.replace("  ", " ")));
    }
    fs::write(path(), text).expect("tests/ is writable");
}

fn line(row: &Row) -> String {
    let (by, after) = match &row.outcome {
        Outcome::Noticed(found) | Outcome::NotRedundant(found) => {
            (format!("`{}.rs`, `{}`", found.binary, found.test), found.after.as_str())
        }
        Outcome::Redundant(why) => (format!("*nobody*: {why}"), ""),
        Outcome::Unnoticed => ("**nobody**".to_owned(), ""),
    };
    format!("| {} | {} | {by} | {after} |", row.name, row.what)
}

pub fn print(row: &Row) {
    let by = match &row.outcome {
        Outcome::Noticed(found) | Outcome::NotRedundant(found) => found.to_string(),
        Outcome::Redundant(_) => "redundant".to_owned(),
        Outcome::Unnoticed => "NOBODY".to_owned(),
    };
    println!("{:<18} {by:<64} {}", row.name, row.what);
}

/// How many, by kind of test.
pub fn summary(rows: &[Row]) -> String {
    let mut kinds = BTreeMap::new();
    for row in rows {
        let kind = match &row.outcome {
            Outcome::Noticed(found) | Outcome::NotRedundant(found) => match found.binary.as_str() {
                "simulation" => "1 by random lives",
                "explorer" => "2 by power losses in every script",
                "faults" => "3 by faults in every script",
                _ => "4 by tests of single rules",
            },
            Outcome::Redundant(_) => "5 redundant",
            Outcome::Unnoticed => "6 noticed by nobody",
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    let counts: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {}", &kind[2..])).collect();
    format!("{} knock-outs: {}", rows.len(), counts.join(", "))
}
