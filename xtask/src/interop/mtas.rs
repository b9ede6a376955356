//! MTAs that we did not write deliver by LMTP: swaks, and a real Postfix with the README's snippet.

use std::path::Path;

use crate::tally::Cases;

/// All cases.
pub(crate) fn run(program: &Path, cases: &mut Cases) {
    let _ = (program, cases);
}
