//! What there is, in numbers: by month, by sender, and what takes the most room.

use restante_store::UniqueId;

use crate::index::{SLOT_BITS, unsigned};
use crate::search::mailbox_condition;
use crate::{Address, Archive, ArchiveError, Scope, limits};

/// The mail of one month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    /// `2024-05`, in UTC.
    pub month: String,
    /// Messages.
    pub count: u64,
    /// Octets.
    pub octets: u64,
}

/// The mail of one sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Who; the name is that of the newest message.
    pub from: Address,
    /// Messages.
    pub count: u64,
    /// Octets.
    pub octets: u64,
}

/// One of the largest attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigAttachment {
    /// The message that has it.
    pub message: UniqueId,
    /// [`crate::message::Part::id`].
    pub part: u32,
    /// As the message says.
    pub name: Option<String>,
    /// `type/subtype`.
    pub media_type: String,
    /// Octets.
    pub octets: u64,
    /// The message's subject.
    pub subject: String,
    /// When the message was written, in seconds since 1970.
    pub date: i64,
}

/// What there is, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Messages.
    pub count: u64,
    /// Octets.
    pub octets: u64,
    /// Unread ones.
    pub unread: u64,
    /// Months that have mail, oldest first.
    pub months: Vec<Month>,
    /// Who sent the most, most first.
    pub senders: Vec<Sender>,
    /// The largest attachments, largest first.
    pub attachments: Vec<BigAttachment>,
}

impl Archive {
    /// What there is among what the scope sees, in numbers.
    pub fn overview(&self, scope: &Scope) -> Result<Overview, ArchiveError> {
        self.index.read(|c| {
            let seen = mailbox_condition(c, scope, "m.mailbox")?;
            let months = c
                .prepare(&format!(
                    "SELECT strftime('%Y-%m', m.id >> {SLOT_BITS}, 'unixepoch'), count(*), sum(m.size)
                     FROM message m WHERE {seen} GROUP BY 1 ORDER BY 1"
                ))?
                .query_map([], |row| {
                    Ok(Month {
                        month: row.get(0)?,
                        count: unsigned(row, 1)?,
                        octets: unsigned(row, 2)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let senders = c
                .prepare(&format!(
                    "SELECT m.from_name, m.from_address, count(*), sum(m.size), max(m.id)
                     FROM message m WHERE {seen} AND m.from_address IS NOT NULL
                     GROUP BY lower(m.from_address) ORDER BY 3 DESC, 4 DESC LIMIT {}",
                    limits::OVERVIEW_ROWS
                ))?
                .query_map([], |row| {
                    Ok(Sender {
                        from: Address {
                            name: row.get(0)?,
                            address: row.get(1)?,
                        },
                        count: unsigned(row, 2)?,
                        octets: unsigned(row, 3)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let attachments = c
                .prepare(&format!(
                    "SELECT m.uid, a.part, a.name, a.type, a.size, m.subject, m.date
                     FROM attachment a JOIN message m ON m.id = a.message
                     WHERE {seen} ORDER BY a.size DESC LIMIT {}",
                    limits::OVERVIEW_ROWS
                ))?
                .query_map([], |row| {
                    let subject: Option<String> = row.get(5)?;
                    Ok(BigAttachment {
                        message: UniqueId::from_bytes(row.get(0)?),
                        part: row.get(1)?,
                        name: row.get(2)?,
                        media_type: row.get(3)?,
                        octets: unsigned(row, 4)?,
                        subject: subject.unwrap_or_default(),
                        date: row.get(6)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let unread = c
                .prepare(&format!(
                    "SELECT count(*) FROM message m WHERE {seen} AND m.flags & {} = 0",
                    crate::index::flags::READ
                ))?
                .query_row([], |row| unsigned(row, 0))?;
            Ok(Overview {
                count: months.iter().map(|month| month.count).sum(),
                octets: months.iter().map(|month| month.octets).sum(),
                unread,
                months,
                senders,
                attachments,
            })
        })
    }
}
