//! Goal: the token bucket that docs/rate.md shows is C that compiles and keeps what the document says of it.

#[path = "common/programs.rs"]
mod programs;

/// It keeps its cap, its minimum and its burst, and copies on demand need no tokens (R69).
#[test]
fn token_bucket_keeps_cap_and_minimum() {
    programs::output_with_array("token_bucket.c");
}

/// The document shows what is tested, word for word.
#[test]
fn document_shows_what_is_tested() {
    let document = programs::read("docs/rate.md");
    let shown = document.split("```c\n").nth(1).and_then(|rest| rest.split("```").next());
    let tested = programs::read("tests/c/token_bucket.h");
    assert_eq!(shown, Some(tested.as_str()), "copy tests/c/token_bucket.h to docs/rate.md");
}
