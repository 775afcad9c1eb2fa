//! Rules that may be left out, because another one sees to the same; with the reason.

/// Name and reason.
pub const REDUNDANT: &[(&str, &str)] = &[];
