//! What is measured, and what is to be reached.

/// How a row is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Sessions a second.
    Sessions { tls: bool, retrieve: bool },
    /// Processor seconds for 1,000 sessions.
    Cpu { retrieve: bool },
    /// MB/s of one connection.
    Drain { in_flight: usize },
    /// KB for each idle connection that has logged in.
    Idle { tls: bool },
    /// Milliseconds.
    HugeLoginWarm,
    /// Milliseconds.
    HugeLoginAfterRestart,
    /// Milliseconds.
    HugeUidl,
    /// Milliseconds.
    HugeList,
    /// Deliveries a second.
    Deliveries,
    /// fsync and fdatasync for each delivery.
    Syncs,
}

/// A goal; what is not set is not asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    /// At least this part of the null server's.
    pub(super) of_null: Option<f64>,
    /// At least so many times Dovecot's.
    pub(super) of_dovecot: Option<f64>,
    /// At most this much.
    pub(super) at_most: Option<f64>,
}

const NONE: Goal = Goal {
    of_null: None,
    of_dovecot: None,
    at_most: None,
};

const fn ratios(of_null: f64, of_dovecot: f64) -> Goal {
    Goal {
        of_null: Some(of_null),
        of_dovecot: Some(of_dovecot),
        at_most: None,
    }
}

const fn at_most(most: f64) -> Goal {
    Goal {
        at_most: Some(most),
        ..NONE
    }
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// For `--only`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) what: What,
    pub(super) goal: Goal,
}

macro_rules! rows {
    ($($name:literal, $title:literal, $unit:literal, $what:expr, $goal:expr;)*) => {
        &[$(Row { name: $name, title: $title, unit: $unit, what: $what, goal: $goal }),*]
    };
}

/// The table. Deliveries come last: they grow the mailboxes.
pub(super) const ROWS: &[Row] = rows![
    "sessions", "login, STAT, UIDL, QUIT; 20 messages", "sessions/s",
        What::Sessions { tls: false, retrieve: false }, ratios(0.75, 5.0);
    "retr", "the same with 20 × RETR", "sessions/s",
        What::Sessions { tls: false, retrieve: true }, ratios(0.6, 3.0);
    "tls", "login, STAT, UIDL, QUIT over TLS 1.3, full handshakes", "sessions/s",
        What::Sessions { tls: true, retrieve: false }, Goal { of_dovecot: Some(3.0), ..NONE };
    "tls-retr", "the same over TLS with 20 × RETR", "sessions/s",
        What::Sessions { tls: true, retrieve: true }, NONE;
    "cpu", "processor time of 1,000 sessions: login, STAT, UIDL, QUIT", "s",
        What::Cpu { retrieve: false }, NONE;
    "cpu-retr", "processor time of 1,000 sessions with 20 × RETR", "s",
        What::Cpu { retrieve: true }, NONE;
    "drain-1", "RETR of 10,000 messages, one connection, 1 in flight", "MB/s",
        What::Drain { in_flight: 1 }, Goal { of_null: Some(0.8), ..NONE };
    "drain-16", "RETR of 10,000 messages, one connection, 16 in flight", "MB/s",
        What::Drain { in_flight: 16 }, ratios(0.55, 2.4);
    "idle", "memory of an idle connection that has logged in", "KB",
        What::Idle { tls: false }, at_most(8.0);
    "idle-tls", "the same over TLS", "KB",
        What::Idle { tls: true }, at_most(24.0);
    "huge-login", "login and STAT, 100,000 messages, warm", "ms",
        What::HugeLoginWarm, at_most(1.0);
    "huge-restart", "login and STAT, 100,000 messages, first after a restart", "ms",
        What::HugeLoginAfterRestart, at_most(20.0);
    "huge-uidl", "UIDL of 100,000 messages", "ms",
        What::HugeUidl, at_most(60.0);
    "huge-list", "LIST of 100,000 messages", "ms",
        What::HugeList, NONE;
    "lmtp", "durable LMTP deliveries, 12 KB, 8 connections", "deliveries/s",
        What::Deliveries, Goal { of_dovecot: Some(6.0), ..NONE };
    "lmtp-syncs", "fsync and fdatasync for each delivery (under strace)", "calls",
        What::Syncs, at_most(1.0);
];

impl What {
    /// Whether more is better.
    pub(super) fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::Sessions { .. } | Self::Drain { .. } | Self::Deliveries
        )
    }

    /// Whether the row needs the 10,000 messages of `big`.
    pub(super) fn needs_big(self) -> bool {
        matches!(self, Self::Drain { .. })
    }

    /// Whether the row needs the 100,000 messages of `huge`.
    pub(super) fn needs_huge(self) -> bool {
        matches!(
            self,
            Self::HugeLoginWarm | Self::HugeLoginAfterRestart | Self::HugeUidl | Self::HugeList
        )
    }

    /// Whether the row needs the users with 20 messages each.
    pub(super) fn needs_users(self) -> bool {
        matches!(
            self,
            Self::Sessions { .. } | Self::Cpu { .. } | Self::Idle { .. }
        )
    }
}
