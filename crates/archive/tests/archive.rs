//! An archive over an embedded store: what comes is found, what leaves is not, marks stay.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use pollster::block_on as wait;
use restante_archive::{
    Action, Archive, ArchiveError, MarkChange, Options, Page, Query, Results, Scope,
};
use restante_store::embedded::{EmbeddedStore, Options as StoreOptions};
use restante_store::{Delivery, MailStore, MailboxId, UniqueId};

struct Home {
    folder: tempfile::TempDir,
    store: Arc<EmbeddedStore>,
    mailbox: MailboxId,
    archive: Archive,
}

fn open(folder: &Path, store: &Arc<EmbeddedStore>) -> Archive {
    let state = rusqlite::Connection::open(folder.join("state.db")).unwrap();
    let options = Options {
        always: vec!["ann".to_owned()],
        ..Options::default()
    };
    let store: Arc<dyn MailStore> = store.clone();
    Archive::open(folder, state, store, options).unwrap()
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path(), StoreOptions::default()).unwrap();
        let store = Arc::new(store);
        let mailbox = wait(store.create_mailbox("ann")).unwrap();
        let archive = open(folder.path(), &store);
        Self {
            folder,
            store,
            mailbox,
            archive,
        }
    }

    fn put(&self, mailbox: MailboxId, message: &str) -> UniqueId {
        let mut draft = self.store.draft(None).unwrap();
        draft.write(message.as_bytes()).unwrap();
        let delivery = Delivery {
            mailbox,
            message: draft.seal().unwrap(),
            received_ms: 1_700_000_000_000,
            source: None,
        };
        wait(self.store.commit(vec![delivery])).unwrap()[0]
    }

    fn receive(&self, message: &str) -> UniqueId {
        let id = self.put(self.mailbox, message);
        self.catch_up();
        id
    }

    fn catch_up(&self) -> u64 {
        self.archive
            .catch_up(&mut |_| ControlFlow::Continue(()))
            .unwrap()
    }

    fn search(&self, query: &str) -> Results {
        let page = Page {
            limit: 100,
            count: true,
            snippets: true,
            ..Page::default()
        };
        let query = Query::parse(query).unwrap();
        let results = self.archive.search(&Scope::all(), &query, &page).unwrap();
        assert_eq!(results.total, Some(results.entries.len() as u64));
        results
    }

    fn found(&self, query: &str) -> Vec<UniqueId> {
        self.search(query).entries.iter().map(|e| e.id).collect()
    }
}

fn mail(subject: &str, day: u32, more: &str, body: &str) -> String {
    format!(
        "From: Ann Example <ann@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: {subject}\r\nDate: {day} May 2024 10:00:00 +0000\r\n{more}\r\n{body}\r\n"
    )
}

#[test]
fn what_comes_is_found_and_what_leaves_is_not() {
    let home = Home::new();
    let first = home.receive(&mail("Invoice 7", 1, "", "Please pay the café bill."));
    let second = home.receive(&mail("Holiday", 2, "", "Sun and sand; no invoice here."));
    assert_eq!(home.found(""), [second, first], "newest first");
    for (query, ids) in [
        ("invoice", vec![second, first]),
        ("subject:invoice", vec![first]),
        ("cafe", vec![first]),
        ("\"sun and sand\"", vec![second]),
        ("\"sand and sun\"", vec![]),
        ("hol*", vec![second]),
        ("invoice NOT holiday", vec![first]),
        ("invoice -holiday", vec![first]),
        ("bill OR sun", vec![second, first]),
        ("(bill OR sun) subject:holiday", vec![second]),
        ("from:ann@example.org to:bob", vec![second, first]),
        ("date:2024-05-01", vec![first]),
        ("after:2024-05-02", vec![second]),
        ("before:2024-05-02", vec![first]),
        ("date:2024-04..2024-05", vec![second, first]),
        ("larger:1M", vec![]),
        ("smaller:1M invoice", vec![second, first]),
        ("is:unread", vec![second, first]),
        ("is:starred OR bill", vec![first]),
        ("NOT bill", vec![second]),
    ] {
        assert_eq!(home.found(query), ids, "{query}");
    }
    assert_eq!(home.found(&format!("id:{first}")), [first]);
    let entry = home.search("bill").entries.remove(0);
    assert_eq!(entry.from.to_string(), "Ann Example <ann@example.org>");
    assert_eq!(
        (entry.subject.as_str(), entry.to.as_str()),
        ("Invoice 7", "Bob")
    );
    assert_eq!(entry.date, 1_714_557_600);
    let snippet = entry.snippet.unwrap();
    assert_eq!(&snippet.text[snippet.found[0].clone()], "bill");

    wait(home.store.remove(home.mailbox, &[first])).unwrap();
    home.catch_up();
    assert_eq!(home.found("invoice"), [second]);
    wait(home.store.restore(home.mailbox, &[first])).unwrap();
    home.catch_up();
    assert_eq!(home.found("invoice"), [second, first]);
}

/// Chinese, Japanese and Thai put no space between words.
#[test]
fn words_of_scripts_without_spaces_are_found() {
    let home = Home::new();
    let more = "Content-Type: text/plain; charset=utf-8\r\n";
    let chinese = home.receive(&mail(
        "会议通知",
        1,
        more,
        "我们明天在北京开会，请准时参加。",
    ));
    let japanese = home.receive(&mail(
        "お知らせ",
        2,
        more,
        "東京タワーの写真と添付ファイルtokyo2024を送ります。",
    ));
    let thai = home.receive(&mail("สวัสดี", 3, more, "ขอบคุณสำหรับเอกสารภาษาไทย"));
    for (query, ids) in [
        ("北京", vec![chinese]),
        ("subject:通知", vec![chinese]),
        ("京", vec![japanese, chinese]),
        ("東京", vec![japanese]),
        ("タワー", vec![japanese]),
        ("京東", vec![]),
        ("写真 添付", vec![japanese]),
        ("tokyo*", vec![japanese]),
        ("\"添付ファイル\"", vec![japanese]),
        ("東京*", vec![japanese]),
        ("เอกสาร", vec![thai]),
        ("ภาษาไทย", vec![thai]),
        ("-北京", vec![thai, japanese]),
    ] {
        assert_eq!(home.found(query), ids, "{query}");
    }
    let snippet = home.search("東京").entries.remove(0).snippet.unwrap();
    assert_eq!(&snippet.text[snippet.found[0].clone()], "東京");
}

#[test]
fn marks_survive_the_loss_of_the_index() {
    let home = Home::new();
    let id = home.receive(&mail("One", 1, "X-Spam-Flag: YES\r\n", "text"));
    home.receive(&mail("Two", 2, "", "text"));
    assert_eq!(home.found("is:junk"), [id]);
    let change = MarkChange {
        read: Some(true),
        starred: Some(true),
        junk: Some(false),
        add: vec!["Work".to_owned(), "tax 2024".to_owned()],
        ..MarkChange::default()
    };
    home.archive.mark(&Scope::all(), &[id], &change).unwrap();
    let see = |home: &Home| {
        assert_eq!(home.found("is:starred"), [id]);
        assert_eq!(home.found("is:read label:work label:\"tax 2024\""), [id]);
        assert_eq!(home.found("is:junk"), []);
        assert_eq!(home.found("label:*").len(), 1);
    };
    see(&home);
    home.archive.rebuild().unwrap();
    assert_eq!(home.found(""), []);
    assert_eq!(home.catch_up(), 2);
    see(&home);
    // Garbage in place of the index.
    let Home {
        folder,
        store,
        mailbox,
        archive,
    } = home;
    drop(archive);
    std::fs::remove_file(folder.path().join("search.db-wal")).ok();
    std::fs::write(folder.path().join("search.db"), b"garbage").unwrap();
    let archive = open(folder.path(), &store);
    let home = Home {
        folder,
        store,
        mailbox,
        archive,
    };
    assert_eq!(home.catch_up(), 2);
    see(&home);
}

#[test]
fn a_message_has_no_more_labels_than_are_kept_and_that_is_said() {
    let home = Home::new();
    let ids = [1, 2].map(|day| home.receive(&mail("One", day, "", "x")));
    let most = restante_archive::limits::LABELS;
    let add = |labels: std::ops::Range<usize>| MarkChange {
        add: labels.map(|at| format!("label {at:03}")).collect(),
        read: Some(true),
        ..MarkChange::default()
    };
    let labels = |id| home.archive.marks(&Scope::all(), id).unwrap().labels;
    home.archive
        .mark(&Scope::all(), &ids[..1], &add(0..most - 1))
        .unwrap();
    let refused = home.archive.mark(&Scope::all(), &ids, &add(100..102));
    assert!(matches!(refused, Err(ArchiveError::Invalid(_))));
    assert_eq!(labels(ids[1]), [""; 0], "nothing is changed");
    assert!(home.found("is:read label:\"label 100\"").is_empty());
    let (few, many) = (add(100..102), add(0..most + 10));
    let each = [(ids[0], &few), (ids[1], &many)];
    assert_eq!(home.archive.mark_each(&Scope::all(), &each), Ok(2));
    for id in ids {
        assert_eq!(labels(id).len(), most);
    }
    assert_eq!(
        labels(ids[0]).last().unwrap(),
        "label 100",
        "the first that fit"
    );
    home.archive.mark(&Scope::all(), &ids, &add(0..1)).unwrap();
}

#[test]
fn a_scope_sees_its_mailboxes_only() {
    let home = Home::new();
    let other = wait(home.store.create_mailbox("bob")).unwrap();
    let ours = home.receive(&mail("Secret plan", 1, "List-Id: <a.example.org>\r\n", "x"));
    let theirs = home.put(
        other,
        &mail("Secret plan", 1, "List-Id: <a.example.org>\r\n", "x"),
    );
    home.catch_up();
    assert_eq!(home.found("secret"), [ours], "bob is only served");
    home.archive.want(other).unwrap();
    home.catch_up();
    assert_eq!(home.found("secret").len(), 2);
    let bob = Scope::of([other]);
    for (scope, count) in [(&bob, 1), (&Scope::all(), 2)] {
        let progress = home.archive.progress(scope).unwrap();
        assert_eq!((progress.indexed, progress.total), (count, count));
    }
    let page = Page {
        limit: 10,
        count: true,
        ..Page::default()
    };
    for query in [
        "secret",
        "",
        "is:unread",
        "NOT absent",
        "is:starred OR secret",
        "list:*",
    ] {
        let query = Query::parse(query).unwrap();
        let found = home.archive.search(&bob, &query, &page).unwrap();
        let ids: Vec<_> = found.entries.iter().map(|entry| entry.id).collect();
        assert_eq!((ids, found.total), (vec![theirs], Some(1)), "{query:?}");
    }
    assert_eq!(
        home.archive.message(&bob, ours).unwrap_err(),
        ArchiveError::NotFound
    );
    assert_eq!(
        home.archive
            .mark(&bob, &[ours], &MarkChange::default())
            .unwrap_err(),
        ArchiveError::NotFound
    );
    for (id, labels) in [(ours, ["a", "b"]), (theirs, ["b", "c"])] {
        let change = MarkChange {
            add: labels.map(str::to_owned).to_vec(),
            ..MarkChange::default()
        };
        home.archive.mark(&Scope::all(), &[id], &change).unwrap();
    }
    for (scope, names) in [
        (&bob, &["b", "c"][..]),
        (&Scope::all(), &["a", "b", "c"]),
        (&Scope::of([]), &[]),
    ] {
        assert_eq!(home.archive.label_names(scope).unwrap(), names);
        let counted = home.archive.labels(scope).unwrap();
        let counted: Vec<_> = counted.into_iter().map(|(name, _)| name).collect();
        assert_eq!(counted, names);
    }
    assert_eq!(home.archive.newsletters(&bob).unwrap().len(), 1);
    assert_eq!(home.archive.overview(&bob).unwrap().count, 1);
    wait(home.store.remove_mailbox(other, false)).unwrap();
    home.catch_up();
    assert_eq!(home.found("secret"), [ours]);
    let names = home.archive.label_names(&Scope::all());
    assert_eq!(names.unwrap(), ["a", "b"]);
}

#[test]
fn threads_grow_together_in_whatever_order_messages_come() {
    let home = Home::new();
    let of = |subject: &str, day, id: &str, refs: &str| {
        let refs = if refs.is_empty() {
            String::new()
        } else {
            format!("References: {refs}\r\n")
        };
        mail(subject, day, &format!("Message-ID: <{id}>\r\n{refs}"), "x")
    };
    let third = home.receive(&of("Re: plan", 3, "c@x", "<a@x> <b@x>"));
    let other = home.receive(&of("plan", 3, "z@x", ""));
    let first = home.receive(&of("plan", 1, "a@x", ""));
    let second = home.receive(&of("Re: plan", 2, "b@x", "<a@x>"));
    let by_subject = home.receive(&mail("AW: plan", 4, "", "x"));
    let entry = |id| home.archive.entry(&Scope::all(), id).unwrap();
    let thread = home
        .archive
        .thread(&Scope::all(), entry(first).thread)
        .unwrap();
    let order: Vec<_> = thread.iter().map(|t| (t.entry.id, t.depth)).collect();
    assert_eq!(order[..3], [(first, 0), (second, 1), (third, 2)]);
    assert_ne!(
        entry(other).thread,
        entry(first).thread,
        "same subject, no reply"
    );
    assert_eq!(
        entry(by_subject).thread,
        entry(other).thread,
        "the nearest of that subject"
    );
    let page = Page {
        limit: 1,
        threads: true,
        ..Page::default()
    };
    let (mut after, mut leaders) = (None, Vec::new());
    loop {
        let page = Page {
            after,
            ..page.clone()
        };
        let query = Query::parse("plan").unwrap();
        let found = home.archive.search(&Scope::all(), &query, &page).unwrap();
        leaders.extend(found.entries.iter().map(|entry| entry.id));
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(
        leaders,
        [by_subject, third],
        "each thread once, by its newest"
    );
}

/// A thread had the number of its first message's row; when that was removed, the next message of its second got the row,
/// and the thread.
#[test]
fn a_message_joins_no_thread_whose_first_is_gone() {
    let home = Home::new();
    let bob = wait(home.store.create_mailbox("bob")).unwrap();
    home.archive.want(bob).unwrap();
    let first = home.receive(&mail("plan", 1, "Message-ID: <a@x>\r\n", "x"));
    let answer = home.receive(&mail("Re: plan", 2, "In-Reply-To: <a@x>\r\n", "x"));
    wait(home.store.remove(home.mailbox, &[first])).unwrap();
    home.catch_up();
    let other = home.put(bob, &mail("other", 1, "", "x"));
    home.catch_up();
    let entry = |id| home.archive.entry(&Scope::all(), id).unwrap();
    assert_ne!(entry(other).thread, entry(answer).thread);
    assert_eq!(
        (entry(other).thread_count, entry(answer).thread_count),
        (1, 1)
    );
}

#[test]
fn what_another_program_calls_one_thread_is_one() {
    let home = Home::new();
    let of = |subject: &str, day| home.put(home.mailbox, &mail(subject, day, "", "x"));
    let (first, second, third) = (of("Invoice", 1), of("Receipt", 2), of("Holiday", 3));
    home.catch_up();
    let entry = |id| home.archive.entry(&Scope::all(), id).unwrap();
    assert_ne!(entry(first).thread, entry(second).thread);
    let name = |thread: &str| MarkChange {
        thread: Some(thread.to_owned()),
        ..MarkChange::default()
    };
    let (one, other) = (name("1584"), name("1585"));
    let late = of("Reminder", 4);
    let changes = [(first, &one), (second, &one), (third, &other), (late, &one)];
    assert_eq!(home.archive.mark_each(&Scope::all(), &changes), Ok(0));
    home.catch_up();
    let same = || {
        let thread = home
            .archive
            .thread(&Scope::all(), entry(first).thread)
            .unwrap();
        thread.iter().map(|t| t.entry.id).collect::<Vec<_>>()
    };
    assert_eq!(same(), [first, second, late]);
    assert_ne!(entry(third).thread, entry(first).thread);
    home.archive.rebuild().unwrap();
    home.catch_up();
    assert_eq!(same(), [first, second, late], "from the marks again");
    let marks = home.archive.marks(&Scope::all(), first).unwrap();
    assert_eq!(marks.thread.as_deref(), Some("1584"), "for an export");
}

/// What `user remove --erase` promises: not only nobody finds it, it is not in the files.
#[test]
fn no_octet_of_an_erased_mailbox_stays() {
    const SECRETS: [&str; 5] = ["zyxwordly", "qqsubject", "kkfile", "jjlabel", "vvrule"];
    let home = Home::new();
    let bob = wait(home.store.create_mailbox("bob")).unwrap();
    home.archive.want(bob).unwrap();
    let filler: String = (0..3000).map(|at| format!("filler{at} ")).collect();
    let more = "List-Id: <qqsubject.example.org>\r\nContent-Type: application/pdf; name=kkfile.pdf\r\n\
        Content-Disposition: attachment\r\n";
    let ids = [
        home.put(bob, &mail("one", 1, "", &format!("zyxwordly {filler}"))),
        home.put(bob, &mail("qqsubject", 2, more, "x")),
    ];
    home.receive(&mail("ours", 1, "", "qwertzuiop"));
    let change = MarkChange {
        add: vec!["jjlabel".to_owned()],
        ..MarkChange::default()
    };
    home.archive.mark(&Scope::all(), &ids, &change).unwrap();
    home.archive
        .add_rule(bob, "vvrule", "zyxwordly", &Action::Star)
        .unwrap();
    home.archive.set_trusted(bob, "vvrule@x", true).unwrap();
    // One that has left already, and whose rows are free pages.
    let gone = home.put(bob, &mail("gone", 3, "", &format!("zyxwordly {filler}")));
    home.catch_up();
    wait(home.store.remove(bob, &[gone])).unwrap();
    home.catch_up();
    let octets = || {
        let read = |name: &str| std::fs::read(home.folder.path().join(name)).unwrap_or_default();
        ["search.db", "search.db-wal", "state.db", "state.db-wal"]
            .map(read)
            .concat()
    };
    let there = |word: &str| memchr::memmem::find(&octets(), word.as_bytes()).is_some();
    for secret in SECRETS {
        assert!(there(secret), "{secret} is looked for where it was");
    }
    wait(home.store.remove_mailbox(bob, true)).unwrap();
    home.archive.erase(bob).unwrap();
    for secret in SECRETS {
        assert!(!there(secret), "{secret}");
    }
    assert!(there("qwertzuiop"));
    home.catch_up();
    assert_eq!(home.found("").len(), 1);
    assert_eq!(home.found("qwertzuiop").len(), 1);
    for secret in SECRETS {
        assert!(!there(secret), "{secret} has come back");
    }
}

/// The mailbox that was marked last took the highest numbers along when it was erased, and what was said of
/// others afterwards had numbers that the index had seen already.
#[test]
fn marks_are_seen_after_another_mailbox_was_erased() {
    let home = Home::new();
    let bob = wait(home.store.create_mailbox("bob")).unwrap();
    home.archive.want(bob).unwrap();
    let ours: Vec<_> = (1..=3)
        .map(|day| home.receive(&mail("ours", day, "", "x")))
        .collect();
    let theirs: Vec<_> = (1..=5)
        .map(|day| home.put(bob, &mail("theirs", day, "", "x")))
        .collect();
    home.catch_up();
    let star = MarkChange {
        starred: Some(true),
        ..MarkChange::default()
    };
    let mark = |ids: &[UniqueId]| home.archive.mark(&Scope::all(), ids, &star).unwrap();
    mark(&ours[..1]);
    mark(&theirs);
    wait(home.store.remove_mailbox(bob, true)).unwrap();
    home.archive.erase(bob).unwrap();
    mark(&ours[1..2]);
    assert_eq!(home.found("is:starred"), [ours[1], ours[0]]);
    mark(&ours[2..]);
    assert_eq!(home.found("is:starred").len(), 3);
}

#[test]
fn an_older_state_beside_a_younger_index_is_what_counts() {
    let mut home = Home::new();
    let ids: Vec<_> = (1..=4)
        .map(|day| home.receive(&mail("one", day, "X-Spam-Flag: YES\r\n", "x")))
        .collect();
    let mark = |home: &Home, id: UniqueId, label: &str| {
        let change = MarkChange {
            starred: Some(true),
            junk: Some(false),
            add: vec![label.to_owned()],
            ..MarkChange::default()
        };
        home.archive.mark(&Scope::all(), &[id], &change).unwrap();
    };
    mark(&home, ids[0], "kept");
    let (state, kept) = (
        home.folder.path().join("state.db"),
        home.folder.path().join("kept.db"),
    );
    let copy = rusqlite::Connection::open(&state).unwrap();
    copy.execute("VACUUM INTO ?1", [kept.to_str().unwrap()])
        .unwrap();
    drop(copy);
    mark(&home, ids[1], "lost");
    mark(&home, ids[2], "lost");
    drop(home.archive);
    for ending in ["-wal", "-shm"] {
        std::fs::remove_file(home.folder.path().join(format!("state.db{ending}"))).ok();
    }
    std::fs::rename(kept, state).unwrap();
    home.archive = open(home.folder.path(), &home.store);
    home.catch_up();
    assert_eq!(home.found("is:starred"), ids[..1]);
    assert_eq!(home.found("label:*"), ids[..1]);
    assert_eq!(home.found("is:junk"), [ids[3], ids[2], ids[1]]);
    mark(&home, ids[3], "new");
    assert_eq!(home.found("is:starred"), [ids[3], ids[0]]);
}

#[test]
fn rules_act_on_what_arrives_and_on_demand() {
    let home = Home::new();
    let old = home.receive(&mail("Invoice", 1, "", "x"));
    let rule = home
        .archive
        .add_rule(
            home.mailbox,
            "bills",
            "subject:invoice",
            &Action::Label("bills".to_owned()),
        )
        .unwrap();
    let new = home.receive(&mail("Invoice", 2, "", "x"));
    home.receive(&mail("Other", 3, "", "x"));
    assert_eq!(
        home.found("label:bills"),
        [new],
        "what was there is left alone"
    );
    let change = MarkChange {
        remove: vec!["bills".to_owned()],
        ..MarkChange::default()
    };
    home.archive.mark(&Scope::all(), &[new], &change).unwrap();
    home.archive.rebuild().unwrap();
    home.catch_up();
    assert_eq!(home.found("label:bills"), [], "a rebuild is no arrival");
    let page = Page {
        limit: 10,
        ..Page::default()
    };
    let preview = home
        .archive
        .preview_rule(&Scope::all(), rule, &page)
        .unwrap();
    assert_eq!(preview.entries.len(), 2);
    assert_eq!(home.archive.apply_rule(&Scope::all(), rule).unwrap(), 2);
    assert_eq!(home.found("label:bills"), [new, old]);
    home.archive.remove_rule(&Scope::all(), rule).unwrap();
    assert_eq!(home.archive.rules(&Scope::all()).unwrap(), []);
}

#[test]
fn newsletters_are_grouped_and_thinned_out() {
    let home = Home::new();
    // RFC 8058 §4: one-click counts where a signature covers both fields.
    let header = "DKIM-Signature: v=1; d=example.org; h=From:List-Unsubscribe:List-Unsubscribe-Post; b=x\r\nList-Id: \"The Weekly\" <weekly.example.org>\r\nList-Unsubscribe: <https://example.org/u?1>,\r\n <mailto:leave@example.org>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";
    let issues: Vec<_> = (1..=4)
        .map(|week| home.receive(&mail("Issue", week * 7, header, "news")))
        .collect();
    home.receive(&mail(
        "Talk",
        5,
        "List-Id: <talk.example.org>\r\nList-Post: <mailto:talk@example.org>\r\n",
        "x",
    ));
    let all = home.archive.newsletters(&Scope::all()).unwrap();
    assert_eq!(all.len(), 2);
    let weekly = &all[0];
    assert_eq!(
        (weekly.name.as_str(), weekly.key.as_str()),
        ("The Weekly", "weekly.example.org")
    );
    assert_eq!((weekly.count, weekly.rhythm_seconds), (4, Some(7 * 86_400)));
    assert!(weekly.unsubscribe.one_click && !weekly.discussion && all[1].discussion);
    for unsigned in [
        header.replace(":List-Unsubscribe-Post;", ";"),
        header.replace("DKIM-Signature", "X-Signature"),
    ] {
        let message = mail("Issue", 1, &unsigned, "news");
        let ways = restante_archive::message::Parsed::from_bytes(message.as_bytes()).unsubscribe;
        assert!(!ways.one_click && ways.https.is_some(), "{unsigned}");
    }
    assert_eq!(
        weekly.unsubscribe.mailto.as_deref(),
        Some("mailto:leave@example.org")
    );
    assert_eq!(weekly.last.0, issues[3]);
    assert_eq!(home.found("is:newsletter").len(), 4);
    assert_eq!(home.found("list:*").len(), 5);
    assert_eq!(home.archive.keep_last(&Scope::all(), weekly, 1).unwrap(), 3);
    assert_eq!(home.found("list:weekly"), [issues[3]]);
    wait(home.store.restore(home.mailbox, &issues[..1])).unwrap();
    home.catch_up();
    assert_eq!(home.found("list:weekly").len(), 2);
}

/// A Date that cannot be true made mail of 2002 as new as its import, and one of 1969, which can, too.
#[test]
fn old_mail_and_mail_with_a_wrong_date_stand_where_they_belong() {
    let home = Home::new();
    let dated = |date: &str, more: &str| {
        home.receive(&format!(
            "From: ann@example.org\r\n{more}Date: {date}\r\nSubject: dated\r\n\r\ntext\r\n"
        ))
    };
    let received = "Received: from a by b; Thu, 22 Aug 2002 12:00:00 +0000\r\n";
    let plain = dated("Wed, 21 Aug 2002 12:00:00 +0000", "");
    let late = dated("Sun, 22 Aug 3609 12:00:00 +0000", received);
    let early = dated("Thu, 22 Aug 0102 12:00:01 +0000", received);
    let old = dated("Thu, 13 Feb 1969 23:32:54 -0330", "");
    let nothing = dated("Thu, 22 Aug 0102 12:00:00 +0000", "");
    assert_eq!(home.found("dated"), [nothing, early, late, plain, old]);
    assert_eq!(home.found(""), [nothing, early, late, plain, old]);
    assert_eq!(home.found("date:2002-08-22"), [early, late]);
    for query in [
        "date:1969-02",
        "before:1970",
        "dated date:1969",
        "is:unread before:1970",
    ] {
        assert_eq!(home.found(query), [old], "{query}");
    }
    assert_eq!(home.found("after:1970").len(), 4);
    assert_eq!(home.search("date:1969").entries[0].date, -27_723_426);
    let months = home.archive.overview(&Scope::all()).unwrap().months;
    let months: Vec<_> = months.iter().map(|m| (m.month.as_str(), m.count)).collect();
    assert_eq!(months, [("1969-02", 1), ("2002-08", 3), ("2023-11", 1)]);
    // Page by page, too.
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let query = Query::parse("dated").unwrap();
        let page = Page {
            after,
            limit: 1,
            ..Page::default()
        };
        let results = home.archive.search(&Scope::all(), &query, &page).unwrap();
        ids.extend(results.entries.iter().map(|entry| entry.id));
        after = results.next.map(|key| key.to_string().parse().unwrap());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, [nothing, early, late, plain, old]);
}

/// Of mail attached to mail nothing but the name was searched: neither its subject, where it has a name, nor its text.
#[test]
fn mail_attached_to_mail_is_searched_by_its_subject_and_text() {
    let home = Home::new();
    let inner = |encoding: &str, body: &str| {
        format!(
            "--b\r\nContent-Type: message/rfc822\r\n{encoding}\
             Content-Disposition: attachment; filename=forwarded.eml\r\n\r\n{body}\r\n"
        )
    };
    let deeper = "From: c@example.org\r\nSubject: tertium\r\nContent-Type: text/html\r\n\r\n<p>quartum quintum</p>";
    let nested = format!(
        "From: b@example.org\r\nSubject: primum\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
         --c\r\n\r\nsecundum here\r\n--c\r\nContent-Type: message/rfc822\r\n\r\n{deeper}\r\n--c--"
    );
    // "Subject: sextum", a blank line, "septimum".
    let encoded = "U3ViamVjdDogc2V4dHVtDQoNCnNlcHRpbXVt";
    let body = format!(
        "--b\r\n\r\nsee below\r\n{}{}--b--",
        inner("", &nested),
        inner("Content-Transfer-Encoding: base64\r\n", encoded)
    );
    let id = home.receive(&mail(
        "Fwd",
        1,
        "Content-Type: multipart/mixed; boundary=b\r\n",
        &body,
    ));
    for word in [
        "primum", "secundum", "tertium", "quartum", "sextum", "septimum",
    ] {
        let results = home.search(word);
        let ids: Vec<_> = results.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [id], "{word}");
        let snippet = results.entries[0].snippet.as_ref().unwrap();
        assert!(snippet.text.contains(word), "{word}: {snippet:?}");
    }
    assert_eq!(home.found("\"quartum quintum\""), [id], "without its tags");
    assert_eq!(home.found("subject:primum"), []);
    assert_eq!(home.search("see").entries[0].preview, "see below");
}

/// `list:*` found only what has a List-Id, `list:x` and `is:newsletter` more.
#[test]
fn any_list_is_whatever_one_list_or_newsletter_is() {
    let home = Home::new();
    let ids: Vec<_> = [
        "List-Id: Users <users.example.org>\r\nList-Post: <mailto:users@example.org>\r\n",
        "List-Unsubscribe: <https://leave.example.org/u>\r\n",
        "List-Unsubscribe: <mailto:leave@example.org>\r\n",
        "Precedence: bulk\r\n",
        "Precedence: list\r\nList-Post: <mailto:all@example.org>\r\n",
    ]
    .iter()
    .zip(1..)
    .map(|(header, day)| home.receive(&mail("Issue", day, header, "news")))
    .collect();
    home.receive(&mail("Ours", 9, "", "no news"));
    let newest_first: Vec<_> = ids.into_iter().rev().collect();
    assert_eq!(home.found("list:*"), newest_first);
    assert_eq!(
        home.found("list:* OR list:example OR is:newsletter"),
        newest_first
    );
    assert_eq!(home.found("list:example").len(), 5);
    assert_eq!(home.found("is:newsletter").len(), 3);
}

/// One service sends for many: leaving the issues of one must not touch those of another.
#[test]
fn newsletters_of_one_service_are_apart_by_sender() {
    let home = Home::new();
    let issue = |from: &str, day: u32| {
        home.receive(&format!(
            "From: {from}\r\nSubject: Issue\r\nDate: {day} May 2024 10:00:00 +0000\r\n\
             List-Unsubscribe: <https://leave.esp.example/u?{day}>\r\n\r\nnews\r\n"
        ))
    };
    let shop: Vec<_> = (1..=3)
        .map(|day| issue("Shop <news@shop.example>", day))
        .collect();
    let bank: Vec<_> = (4..=6)
        .map(|day| issue("Bank <info@BANK.example>", day))
        .collect();
    let all = home.archive.newsletters(&Scope::all()).unwrap();
    let keys: Vec<_> = all.iter().map(|n| (n.key.as_str(), n.count)).collect();
    assert_eq!(
        keys,
        [
            ("bank.example via leave.esp.example", 3),
            ("shop.example via leave.esp.example", 3)
        ]
    );
    let (bank_now, shop_now) = (&all[0], &all[1]);
    let known = |key: &str| {
        home.archive
            .newsletter_known_as(&Scope::all(), bank_now.id, key)
    };
    assert_eq!(known(&bank_now.key).as_ref(), Ok(bank_now));
    assert!(matches!(
        known(&shop_now.key),
        Err(ArchiveError::Invalid(_))
    ));
    let kept = home.archive.keep_last(&Scope::all(), bank_now, 1);
    assert_eq!(kept, Ok(2));
    assert_eq!(home.found("list:bank.example"), bank[2..]);
    assert_eq!(home.found("list:shop.example"), [shop[2], shop[1], shop[0]]);
}

/// What the query language lets through, SQLite runs: its full-text parser has a stack of its own.
#[test]
fn the_deepest_queries_run() {
    let home = Home::new();
    let other = wait(home.store.create_mailbox("bob")).unwrap();
    home.archive.want(other).unwrap();
    home.receive(&mail("a", 1, "", "x"));
    let depth = restante_archive::limits::QUERY_DEPTH;
    let nested = |open: &str, each: usize| {
        let times = depth / each;
        let close = ")".repeat(open.matches('(').count() * times);
        format!("{}subject:a{close}", open.repeat(times))
    };
    for (open, each) in [
        ("(", 1),
        ("(a (", 2),
        ("(b OR a (", 2),
        ("NOT ", 1),
        ("NOT (a ", 2),
        ("a NOT (b OR ", 2),
        ("b OR a NOT (", 2),
        ("(b OR a NOT (", 3),
        ("(a -b NOT (", 3),
        ("is:read OR (", 1),
    ] {
        let query = nested(open, each);
        for scope in [Scope::all(), Scope::of([home.mailbox])] {
            let page = Page {
                limit: 10,
                count: true,
                ..Page::default()
            };
            let parsed = Query::parse(&query).unwrap();
            let found = home.archive.search(&scope, &parsed, &page);
            assert!(found.is_ok(), "{query}: {found:?}");
        }
    }
}

/// A snippet costs reading the message again; nothing is read where nothing can come of it, and a page of large
/// messages is not read to its end.
#[test]
fn snippets_are_of_the_text_then_of_files_and_cost_no_more_than_a_bound() {
    let home = Home::new();
    let attached = |kind: &str, content: &str| {
        format!(
            "--b\r\nContent-Type: {kind}\r\nContent-Disposition: attachment\r\n\r\n{content}\r\n"
        )
    };
    let with = |day: u32, parts: &str| {
        let more = "Content-Type: multipart/mixed; boundary=b\r\n";
        let body = format!("--b\r\n\r\nlook inside\r\n{parts}--b--");
        home.put(home.mailbox, &mail("Report", day, more, &body))
    };
    with(1, &attached("text/plain", "the needle is attached"));
    home.catch_up();
    let snippet = |query: &str| home.search(query).entries.remove(0).snippet;
    let text = |query: &str| snippet(query).unwrap().text;
    assert!(text("look").contains("look inside"));
    assert!(text("needle").contains("needle is attached"));
    assert!(text("subject:report look").contains("look inside"));
    for none in ["from:ann", "subject:report", "-absent", "report"] {
        assert_eq!(snippet(none), None, "{none}");
    }
    let filler = attached("application/x-filler", &"x".repeat(3_000_000));
    for day in 2..22 {
        with(
            day,
            &format!("{filler}{}", attached("text/plain", "needle")),
        );
    }
    home.catch_up();
    let entries = home.search("needle").entries;
    let snippets = entries.iter().filter(|entry| entry.snippet.is_some());
    let most = restante_archive::limits::SNIPPETS_OCTETS / 3_000_000;
    let count = snippets.count();
    assert!(count > most / 2 && count <= most, "{count}");
    assert_eq!(entries.len(), 21);
}

/// AND, OR and NOT are what sets make of them, in whatever part of the index their sides are looked up.
#[test]
fn operators_are_those_of_sets() {
    use std::collections::BTreeSet;
    let home = Home::new();
    for (at, subject) in ["alpha", "alpha beta", "beta", "gamma"].iter().enumerate() {
        let list = if at % 2 == 0 {
            "List-Id: <l.example.org>\r\n"
        } else {
            ""
        };
        let id = home.put(
            home.mailbox,
            &mail(subject, at as u32 + 1, list, &"delta ".repeat(at * 50)),
        );
        let change = MarkChange {
            read: Some(at < 2),
            add: if at == 2 {
                vec!["work".to_owned()]
            } else {
                Vec::new()
            },
            ..MarkChange::default()
        };
        home.archive.mark(&Scope::all(), &[id], &change).unwrap();
    }
    home.catch_up();
    let all: BTreeSet<_> = home.found("").into_iter().collect();
    let atoms = [
        "alpha",
        "subject:beta",
        "del*",
        "\"alpha beta\"",
        "list:*",
        "list:l.example.org",
        "is:unread",
        "is:newsletter",
        "has:attachment",
        "label:work",
        "label:*",
        "larger:400",
        "after:2024-05-02",
        "date:2024-05-03",
        "account:none",
        "nothing",
    ];
    let set = |query: &str| home.found(query).into_iter().collect::<BTreeSet<_>>();
    for a in atoms {
        let of_a = set(a);
        assert_eq!(set(&format!("NOT {a}")), &all - &of_a, "NOT {a}");
        for b in atoms {
            let of_b = set(b);
            assert_eq!(set(&format!("{a} AND {b}")), &of_a & &of_b, "{a} AND {b}");
            assert_eq!(set(&format!("{a} OR {b}")), &of_a | &of_b, "{a} OR {b}");
            assert_eq!(set(&format!("{a} NOT {b}")), &of_a - &of_b, "{a} NOT {b}");
            assert_eq!(
                set(&format!("NOT ({a} OR {b})")),
                &all - &(&of_a | &of_b),
                "NOT ({a} OR {b})"
            );
        }
    }
}

#[test]
fn two_that_follow_at_once_index_each_message_once() {
    let home = Home::new();
    let other = open(home.folder.path(), &home.store);
    let ids: Vec<_> = (1..=60)
        .map(|at| home.put(home.mailbox, &mail("same", at % 28 + 1, "", "text")))
        .collect();
    std::thread::scope(|scope| {
        for archive in [&home.archive, &other] {
            scope.spawn(|| {
                archive
                    .catch_up(&mut |_| ControlFlow::Continue(()))
                    .unwrap()
            });
        }
    });
    home.catch_up();
    let mut found = home.found("same");
    found.sort();
    assert_eq!(found, ids);
    assert_eq!(home.archive.progress(&Scope::all()).unwrap().indexed, 60);
}

/// What is said of a message while it is on its way into the index is seen there.
#[test]
fn marks_that_are_set_while_a_message_is_indexed_are_seen() {
    let home = Home::new();
    let other = open(home.folder.path(), &home.store);
    let ids: Vec<_> = (0..800)
        .map(|at| home.put(home.mailbox, &mail("same", at % 28 + 1, "", "text")))
        .collect();
    let star = MarkChange {
        starred: Some(true),
        ..MarkChange::default()
    };
    let marked = std::thread::scope(|scope| {
        let follower = scope.spawn(|| home.catch_up());
        // From the end: most of them are not in the index yet.
        let mut marked = Vec::new();
        for id in ids.iter().rev() {
            if follower.is_finished() {
                break;
            }
            other.mark(&Scope::all(), &[*id], &star).unwrap();
            marked.push(*id);
        }
        marked
    });
    home.catch_up();
    let mut found = Vec::new();
    let mut page = Page {
        limit: 100,
        ..Page::default()
    };
    loop {
        let query = Query::parse("is:starred").unwrap();
        let results = home.archive.search(&Scope::all(), &query, &page).unwrap();
        found.extend(results.entries.iter().map(|entry| entry.id));
        page.after = results.next;
        if page.after.is_none() {
            break;
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(found, marked);
}

#[test]
fn many_messages_of_one_second_are_all_there_page_by_page() {
    let home = Home::new();
    let count = 600;
    for _ in 0..count {
        home.put(home.mailbox, &mail("same", 1, "", "text"));
    }
    home.catch_up();
    let (mut after, mut seen) = (None, std::collections::HashSet::new());
    loop {
        let page = Page {
            after,
            limit: 70,
            ..Page::default()
        };
        let query = Query::parse("same").unwrap();
        let found = home.archive.search(&Scope::all(), &query, &page).unwrap();
        for entry in &found.entries {
            assert!(seen.insert(entry.id), "told twice");
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), count);
}
