CREATE TABLE meta (
    epoch INTEGER NOT NULL,
    place INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    marks INTEGER NOT NULL,
    filling INTEGER NOT NULL,
    unreadable INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    threads INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (0, 0, 0, 0, 1, 0, 0, 0);
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY,
    mailbox BLOB NOT NULL UNIQUE,
    filled BLOB
) STRICT;
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    uid BLOB NOT NULL UNIQUE,
    mailbox INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    date INTEGER NOT NULL,
    size INTEGER NOT NULL,
    facts INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    from_name TEXT,
    from_address TEXT,
    recipients TEXT,
    subject TEXT,
    preview TEXT,
    newsletter INTEGER,
    account TEXT,
    msgid INTEGER,
    parent INTEGER,
    base INTEGER
) STRICT;
CREATE INDEX message_mailbox ON message (mailbox, id, flags, size);
CREATE INDEX message_thread ON message (thread, id);
CREATE INDEX message_base ON message (mailbox, base, id) WHERE base IS NOT NULL;
CREATE INDEX message_newsletter ON message (newsletter, id, flags, size) WHERE newsletter IS NOT NULL;
CREATE INDEX message_account ON message (account, id) WHERE account IS NOT NULL;
CREATE TABLE reference (
    hash INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL
) STRICT;
CREATE INDEX reference_thread ON reference (thread);
CREATE TABLE label (
    label TEXT NOT NULL,
    message INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    PRIMARY KEY (label, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_message ON label (message);
CREATE INDEX label_mailbox ON label (mailbox, label);
CREATE TABLE attachment (
    message INTEGER NOT NULL,
    part INTEGER NOT NULL,
    name TEXT,
    type TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (message, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX attachment_size ON attachment (size);
CREATE TABLE newsletter (
    id INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    discussion INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    https TEXT,
    one_click INTEGER NOT NULL,
    mailto TEXT,
    UNIQUE (mailbox, kind, key)
) STRICT;
CREATE TABLE arrived (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    message INTEGER NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE text USING fts5 (
    subject, sender, recipient, list, file, body, meta,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO text (text, rank) VALUES ('hashsize', 33554432);
