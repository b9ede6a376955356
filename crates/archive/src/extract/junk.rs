//! What others have found to be junk: the headers of providers, SpamAssassin and rspamd. Nothing is
//! deleted for it.

use mail_parser::{HeaderName, Message};

/// A header, and what its value begins with when the message is junk.
const SIGNS: [(&str, &str); 9] = [
    ("X-Spam-Flag", "yes"),
    ("X-Spam-Status", "yes"),
    ("X-Spam", "yes"),
    ("X-Rspamd-Action", "reject"),
    ("X-Rspamd-Action", "add header"),
    ("X-Rspamd-Action", "rewrite subject"),
    ("X-Rspam-Flag", "yes"),
    ("X-GMX-Antispam", "5"),
    ("X-UI-Filterresults", "junk"),
];

/// Whether a header says so. The first of a name counts: it is the one that was added last.
pub(crate) fn is_junk(message: &Message<'_>) -> bool {
    let begins = |(name, start): &(&'static str, &str)| {
        let value = HeaderName::parse(*name).and_then(|name| message.header_raw(name));
        value.is_some_and(|value| {
            let value = value.trim_start();
            value
                .get(..start.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(start))
        })
    };
    SIGNS.iter().any(begins) || microsoft(message)
}

/// `X-Forefront-Antispam-Report: …;SFV:SPM;…`, and `X-MS-Exchange-Organization-SCL` from 5 on.
fn microsoft(message: &Message<'_>) -> bool {
    let raw = |name| HeaderName::parse(name).and_then(|name| message.header_raw(name));
    raw("X-Forefront-Antispam-Report").is_some_and(|value| value.contains("SFV:SPM"))
        || raw("X-MS-Exchange-Organization-SCL")
            .and_then(|value| value.trim().parse::<i8>().ok())
            .is_some_and(|level| level >= 5)
}
