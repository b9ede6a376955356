//! Scan and unique-id listings as they stream in.
