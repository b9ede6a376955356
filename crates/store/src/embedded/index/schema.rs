//! The index's tables.

/// In `removed` and `until`: not yet.
pub(in crate::embedded) const LIVE: i64 = i64::MAX;

/// Sequence numbers (`added`, `removed`, `at`, `until`, `seq`) count per mailbox and follow the clock;
/// a message is in a snapshot S if `added <= S AND removed > S`. `place` counts all changes of the
/// store, for cursors; below `floor` some are forgotten.
///
/// `mailboxes` and `views` may hold rows of which only the id is known, since records come in any
/// order (`name` NULL). `tombstones` and `undone` are what the packs say; `removed`, `hidden` and the
/// counters follow from them. `tombstones.view` 0 is a removal. `seen` and `forgotten` too are what the
/// packs say; a fetched message's stamp in `forgotten` is its unique-id.
pub(super) const TABLES: &str = "
CREATE TABLE meta (epoch INTEGER NOT NULL, place INTEGER NOT NULL, floor INTEGER NOT NULL);
CREATE TABLE packs (
    number INTEGER PRIMARY KEY, watermark INTEGER NOT NULL, sealed INTEGER NOT NULL DEFAULT 0,
    ended INTEGER, replaced INTEGER, seal_wanted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE mailboxes (
    id INTEGER PRIMARY KEY, mailbox BLOB NOT NULL UNIQUE, name TEXT, stamp BLOB,
    release INTEGER, release_stamp BLOB, tombstone BLOB, removed_ms INTEGER,
    erased INTEGER NOT NULL DEFAULT 0, plain_used INTEGER NOT NULL DEFAULT 0,
    seq INTEGER NOT NULL DEFAULT 0, count INTEGER NOT NULL DEFAULT 0,
    octets INTEGER NOT NULL DEFAULT 0);
CREATE INDEX names ON mailboxes (name) WHERE removed_ms IS NULL;
CREATE TABLE views (
    id INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL, view BLOB NOT NULL, name TEXT,
    from_now INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0,
    hidden_count INTEGER NOT NULL DEFAULT 0, hidden_octets INTEGER NOT NULL DEFAULT 0,
    state BLOB, lapsed INTEGER NOT NULL DEFAULT 0, used_ms INTEGER,
    UNIQUE (mailbox, view));
CREATE TABLE messages (
    unique_id BLOB PRIMARY KEY, mailbox INTEGER NOT NULL, added INTEGER NOT NULL,
    removed INTEGER NOT NULL, octets INTEGER NOT NULL, pack INTEGER NOT NULL,
    start INTEGER NOT NULL, length INTEGER NOT NULL, size INTEGER NOT NULL,
    received INTEGER NOT NULL, digest BLOB NOT NULL, account TEXT, remote BLOB,
    tombstone BLOB, removed_ms INTEGER, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX listing ON messages (mailbox, removed, unique_id, added, octets, pack, start, length);
CREATE UNIQUE INDEX places ON messages (place);
CREATE INDEX gone ON messages (removed_ms, pack, length) WHERE removed_ms IS NOT NULL;
CREATE INDEX fetched ON messages (mailbox, account, remote) WHERE account IS NOT NULL;
CREATE TABLE past (
    mailbox INTEGER NOT NULL, unique_id BLOB NOT NULL, added INTEGER NOT NULL,
    removed INTEGER NOT NULL, PRIMARY KEY (mailbox, unique_id, added)) WITHOUT ROWID;
CREATE TABLE hidden (
    view INTEGER NOT NULL, unique_id BLOB NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (view, unique_id, at)) WITHOUT ROWID;
CREATE TABLE tombstones (
    unique_id BLOB NOT NULL, tombstone BLOB NOT NULL, view INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, PRIMARY KEY (unique_id, tombstone)) WITHOUT ROWID;
CREATE TABLE undone (
    unique_id BLOB NOT NULL, tombstone BLOB NOT NULL,
    PRIMARY KEY (unique_id, tombstone)) WITHOUT ROWID;
CREATE TABLE seen (
    mailbox INTEGER NOT NULL, account TEXT NOT NULL, remote BLOB NOT NULL, stamp BLOB NOT NULL,
    received INTEGER NOT NULL, pack INTEGER NOT NULL,
    PRIMARY KEY (mailbox, account, remote, stamp)) WITHOUT ROWID;
CREATE TABLE forgotten (
    mailbox INTEGER NOT NULL, account TEXT NOT NULL, remote BLOB NOT NULL, stamp BLOB NOT NULL,
    PRIMARY KEY (mailbox, account, remote, stamp)) WITHOUT ROWID;
";
