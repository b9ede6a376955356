//! What profiles showed about rows that are missed. Printed only where a row is missed.

/// The row's number, and two sentences.
const WHY: &[(&str, &str)] = &[
    (
        "1",
        "What is left beside the six `send`s that no server that answers command by command can spare is mostly \
     SQLite: the user, the mailbox, its snapshot and the listing are asked for at each login, so that another \
     process's change counts at once. The null server asks nothing, and a session of it costs 0.08 ms of processor time, so every \
         0.03 ms of ours is a tenth of this ratio.",
    ),
    (
        "2",
        "Decompression takes 15 % of the server's time, the BLAKE3 check of each body 7 %, and `send` \
         24 %. The null server does only the last.",
    ),
    (
        "3",
        "Every server makes the same signature and key exchange for a full handshake, and the client, \
         which shares the processors, checks them. What is left between the servers is what row 1 shows.",
    ),
    (
        "4",
        "Each body is read, decompressed and checked before its first octet is sent, while the client \
         waits. With one in flight nothing of that overlaps.",
    ),
    (
        "5",
        "One connection is served by one thread: it reads, decompresses and checks a body, then sends it. \
         The null server only sends.",
    ),
    (
        "7b",
        "It is the password: argon2id is made to take this long, and the mailbox's size does not matter \
         (10,000 messages take as long). From then on the login is remembered and takes what row 7a says.",
    ),
    (
        "9a",
        "Ours syncs once for a batch, which at 8 connections cannot be larger than 8; row 9b tells how \
         large it is. Dovecot syncs three times a delivery, but eight of its processes at once.",
    ),
    (
        "11",
        "Six tenths of our processor time are zstd at its fastest level. With BLAKE3, SQLite and receiving it is as much \
         as two processors have beside Dovecot's own work. mpop stores the bytes as they come, and what its fsyncs cost depends \
         on the disk.",
    ),
    (
        "12",
        "A tenth of a second is little: an empty folder becomes an archive (users, index, first pack, and some twenty syncs), the \
         mail is compressed, and the files are closed for good. What is left grows with the mail as row 11 does.",
    ),
    (
        "11b",
        "Each message costs one row that says who hid it and one that hides it, in two B-trees, and one look at \
         the message; then the record is synced.",
    ),
];

/// A paragraph for each of the missed rows of which we know why.
pub(super) fn section<'a>(missed: impl Iterator<Item = &'a str>) -> String {
    let text = |row| WHY.iter().find(|(number, _)| *number == row);
    let lines: Vec<String> = missed
        .filter_map(text)
        .map(|(number, text)| format!("- **Row {number}.** {text}\n"))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("\n## What is missed, and why\n\n{}", lines.concat())
}
