//! Goal: rules that no other test missed when they were left out (`tools/knock-outs`), each shown once on purpose.

mod common;
