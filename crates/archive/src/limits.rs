//! What bounds the work that a message, a query or a caller can ask for.

/// Octets of a message that the index looks at: what is beyond is found by nobody, and kept as it is.
pub const INDEX_OCTETS: usize = 16 * 1024 * 1024;

/// Octets of a message that are taken apart for showing. What is larger is shown as far as this, and
/// had whole as its raw source.
pub const SHOW_OCTETS: usize = 48 * 1024 * 1024;

/// Octets of readable text of one message that are indexed, attachments included.
pub const TEXT_OCTETS: usize = 1024 * 1024;

/// Octets of HTML that are laid out as text for reading.
pub const LAYOUT_OCTETS: usize = 2 * 1024 * 1024;

/// Open elements of HTML that are laid out; what is nested deeper is only stripped of its tags.
pub const LAYOUT_DEPTH: usize = 200;

/// Octets of a message in which its header is looked for where nothing else of it is wanted.
pub const HEADER_BLOCK_OCTETS: usize = 64 * 1024;

/// Octets of a header's value that are kept; the rest is cut.
pub const HEADER_OCTETS: usize = 4 * 1024;

/// Addresses of one header that are kept.
pub const ADDRESSES: usize = 500;

/// References of one message that count for its thread.
pub const REFERENCES: usize = 64;

/// Messages of a thread beyond which it is merged into no other: a stranger's header must not make
/// one thread of a whole mailbox.
pub const THREAD_MESSAGES: i64 = 2_000;

/// How far back a reply without References finds its thread by subject, in seconds: 90 days.
pub const SUBJECT_SECONDS: i64 = 90 * 24 * 60 * 60;

/// Parts of one message that are told.
pub const PARTS: usize = 1_000;

/// Multiparts and messages within one message, at whatever depth; what comes after so many is not taken apart.
pub const CONTAINERS: usize = 1_000;

/// Octets that the multiparts of one message may have behind them, all together and at whatever depth: each is searched for
/// its boundary, which may never come. Some seconds.
pub const CONTAINER_WORK_OCTETS: u64 = 4 * 1024 * 1024 * 1024;

/// First octets of a part that say what it is.
pub const PART_START_OCTETS: usize = 16;

/// Messages within messages, winmail.dat included, that are opened up.
pub const NESTING: usize = 8;

/// Octets of a zip that may be read for its list of files, which is held in memory: some ten thousand. One with more is not read.
pub const ZIP_DIRECTORY_OCTETS: u64 = 1024 * 1024;

/// Octets that one file inside a zip (docx, odt, …) may come to.
pub const UNPACKED_OCTETS: u64 = 8 * 1024 * 1024;

/// Octets that all files inside the zips of one message may come to: a small zip can name the same
/// octets a thousand times.
pub const UNPACKED_MESSAGE_OCTETS: u64 = 64 * 1024 * 1024;

/// Characters of a query.
pub const QUERY_CHARACTERS: usize = 2_000;

/// Words, phrases and fields of a query.
pub const QUERY_TERMS: usize = 100;

/// Parentheses and NOTs within each other in a query. FTS5's parser holds a hundred pieces that are not finished, and each
/// of these makes up to four.
pub const QUERY_DEPTH: usize = 20;

/// Entries of one page of results.
pub const PAGE: usize = 1_000;

/// Characters of the preview that a list shows.
pub const PREVIEW_CHARACTERS: usize = 160;

/// Characters of a snippet around what was found.
pub const SNIPPET_CHARACTERS: usize = 160;

/// Octets of a message in which a snippet is looked for first.
pub const SNIPPET_HEAD_OCTETS: usize = 128 * 1024;

/// Octets of messages that are read for the snippets of one page; entries behind that have none. Less than a second: a search
/// that is typed makes a page for each key.
pub const SNIPPETS_OCTETS: usize = 32 * 1024 * 1024;

/// Characters of a label.
pub const LABEL_CHARACTERS: usize = 60;

/// Octets of what another program calls a thread; the rest is cut.
pub const THREAD_NAME_OCTETS: usize = 64;

/// Labels of one message.
pub const LABELS: usize = 50;

/// Changes of the store that are looked at in one go.
pub const CHANGES: usize = 1_000;

/// Octets of text that go into one transaction, about.
pub const BATCH_OCTETS: usize = 8 * 1024 * 1024;

/// Connections to `search.db` that are kept for readers.
pub const READERS: usize = 4;

/// Rows of each table of an overview.
pub const OVERVIEW_ROWS: usize = 25;

/// Octets of a message's HTML that are made safe for showing; the rest is left out, and that is said.
pub const RENDER_OCTETS: usize = 2 * 1024 * 1024;

/// Elements that a message's HTML makes; the rest is left out, and that is said. Newsletters have some thousands.
pub const RENDER_ELEMENTS: usize = 100_000;

/// Attributes of one tag of a message's HTML; from there on the rest is left out, and that is said. Usual tags have some ten;
/// parsers take time that grows with the square.
pub const ATTRIBUTES: usize = 250;

/// Elements within each other in a message's HTML; what is deeper is left out with all that follows, and that is said.
/// Browsers stop at about 500.
pub const RENDER_DEPTH: usize = 400;

/// Links, and trackers, of a message that are listed.
pub const RENDER_LINKS: usize = 1_000;

/// Octets of a link's text that are looked at.
pub const LINK_TEXT_OCTETS: usize = 1_000;

/// Octets of an image that stands in the HTML itself; a larger one is left out.
pub const DATA_IMAGE_OCTETS: usize = 1024 * 1024;

const _: () = assert!(INDEX_OCTETS <= SHOW_OCTETS && TEXT_OCTETS <= BATCH_OCTETS);
