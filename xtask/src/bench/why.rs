//! What profiles showed about rows that are missed. Printed only where a row is missed.

/// The row's number, and two sentences.
pub(super) const WHY: &[(&str, &str)] = &[
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
];
