//! Set-up, test, bench: the project's own chores.
fn main() {}
