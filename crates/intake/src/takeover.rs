//! The state of other fetchers, taken over by the first run.
