//! What profiles showed about rows that are missed. Printed only where a row is missed.

/// The row's number, and two sentences.
pub(super) const WHY: &[(&str, &str)] = &[];
