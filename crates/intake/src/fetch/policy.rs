//! When a message may leave the server. Pure: no clock, no store.

use super::Keep;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Whether a stored message is to be deleted on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Yes,
    No,
    /// It would be, but no verified backup holds it.
    AwaitsBackup,
}

/// For a message that is in the archive since `received_ms`; 0 = nobody knows.
pub(super) fn due(
    keep: Keep,
    received_ms: u64,
    now_ms: u64,
    backed_up: impl FnOnce() -> bool,
) -> Due {
    match keep {
        Keep::Forever => Due::No,
        Keep::None => Due::Yes,
        Keep::UntilBackedUp if backed_up() => Due::Yes,
        Keep::UntilBackedUp => Due::AwaitsBackup,
        Keep::Days(0) => Due::Yes,
        Keep::Days(_) if received_ms == 0 => Due::No,
        Keep::Days(days) => {
            let age_ms = now_ms.saturating_sub(received_ms);
            if age_ms >= u64::from(days) * DAY_MS {
                Due::Yes
            } else {
                Due::No
            }
        }
    }
}

/// The day, of UTC, for `max_per_day`.
pub(super) const fn day(now_ms: u64) -> u64 {
    now_ms / DAY_MS
}

/// When the next day begins.
pub(super) const fn next_day_ms(now_ms: u64) -> u64 {
    (day(now_ms) + 1) * DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_policy_deletes() {
        let now = 40 * DAY_MS;
        let table = [
            (Keep::Forever, 1, true, Due::No),
            (Keep::None, 1, false, Due::Yes),
            (Keep::UntilBackedUp, 1, false, Due::AwaitsBackup),
            (Keep::UntilBackedUp, 1, true, Due::Yes),
            (Keep::Days(0), now, false, Due::Yes),
            (Keep::Days(30), 10 * DAY_MS, false, Due::Yes),
            (Keep::Days(30), 10 * DAY_MS + 1, false, Due::No),
            // Nobody knows when it was stored.
            (Keep::Days(30), 0, true, Due::No),
            // The clock went back.
            (Keep::Days(30), now + DAY_MS, true, Due::No),
            (Keep::Days(u32::MAX), 1, true, Due::No),
        ];
        for (keep, received, backed_up, expected) in table {
            assert_eq!(
                due(keep, received, now, || backed_up),
                expected,
                "{keep} {received}"
            );
        }
    }

    #[test]
    fn policies_are_read_as_they_are_written() {
        for keep in [
            Keep::Forever,
            Keep::Days(1),
            Keep::Days(30),
            Keep::UntilBackedUp,
            Keep::None,
        ] {
            assert_eq!(keep.to_string().parse(), Ok(keep));
        }
        for wrong in ["", "days", "-1 days", "1.5 days", "30", "Forever"] {
            assert!(wrong.parse::<Keep>().is_err(), "{wrong}");
        }
    }
}
