//! What others have found to be junk: the headers of providers, SpamAssassin and rspamd. Nothing is
//! deleted for it.

use mail_parser::Message;

use super::headers::first;

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

/// Whether a header says so. The first of a name counts: a sender can write the others.
pub(crate) fn is_junk(message: &Message<'_>) -> bool {
    let begins = |(name, start): &(&str, &str)| {
        first(message, name).is_some_and(|value| {
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
    first(message, "X-Forefront-Antispam-Report").is_some_and(|value| value.contains("SFV:SPM"))
        || first(message, "X-MS-Exchange-Organization-SCL")
            .and_then(|value| value.trim().parse::<i8>().ok())
            .is_some_and(|level| level >= 5)
}

#[cfg(test)]
mod tests {
    use crate::extract::extract;
    use crate::index::facts;

    /// A spammer wrote a field of our filter's below, and its word counted.
    #[test]
    fn the_filters_word_counts_and_not_the_senders() {
        for (name, clean, junk) in [
            ("X-Rspamd-Action", "no action", "Add Header"),
            ("X-Spam-Flag", "NO", "YES"),
            ("X-Spam-Status", "No, score=1", "Yes, score=9"),
            ("X-MS-Exchange-Organization-SCL", "1", "9"),
            ("X-Forefront-Antispam-Report", "CIP:1;SFV:NSPM;", "SFV:SPM;"),
        ] {
            for (above, below, is_junk) in [(clean, junk, false), (junk, clean, true)] {
                let message = format!("{name}: {above}\r\nSubject: a\r\n{name}: {below}\r\n\r\nb");
                let found = extract(message.as_bytes()).facts & facts::JUNK != 0;
                assert_eq!(found, is_junk, "{message}");
            }
        }
    }
}
