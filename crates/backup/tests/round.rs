//! There and back: what was backed up is what is restored, and what is damaged is named.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod world;

use pollster::block_on as wait;
use restante_backup::{
    BackupError, Covered, Key, RestoreOptions, State, backup, drill, generations, restore,
    verify_archive, verify_backup,
};
use restante_proto::Secret;
use restante_store::MailStore;
use restante_store::embedded::{EmbeddedStore, Options};
use world::{World, files, messages, opened, options, with};

#[test]
fn what_was_backed_up_comes_back_with_its_unique_ids() {
    let world = World::new();
    world.deliver("ann", 0..120);
    world.deliver("bob", 200..240);
    let first = world.backup(Key::None).unwrap();
    assert_eq!(first.messages, 160);
    assert!(first.damage.is_empty());
    let report = world.restore("again", Key::None).unwrap();
    assert_eq!(report.messages, 160);
    assert_eq!(report.restored["bob"], 40);
    // The copy of state.db in it was taken before its own generation was done.
    let state = State::look(&world.home.path().join("again")).unwrap();
    let known = state.unwrap().places().unwrap();
    assert_eq!(known[0].generation.as_ref(), Some(&first.generation));
    assert_eq!(known[0].messages, 160);
    let restored = opened(&world.home.path().join("again"));
    assert_eq!(messages(&restored), messages(&world.store));
    let target = world.target(Key::None);
    let checked = with(|h| verify_backup(&world.store, &world.data(), &target, h)).unwrap();
    assert_eq!((checked.damage, checked.behind), (vec![], 0));
    let own = with(|h| verify_archive(&world.store, &world.data(), h)).unwrap();
    assert_eq!((own.damage, own.messages), (vec![], 160));
    let scratch = world.home.path().join("scratch");
    let drilled = with(|h| drill(&world.store, &world.data(), &target, &scratch, 0, h)).unwrap();
    assert_eq!(
        (drilled.same, drilled.newer, drilled.damage),
        (160, 0, vec![])
    );
    let left: Vec<_> = files(&scratch);
    assert_eq!(left, [scratch.join("drill.lock")]);
}

#[test]
fn only_what_is_new_travels() {
    let world = World::new();
    world.deliver("ann", 0..150);
    let first = world.backup(Key::None).unwrap();
    let same = world.backup(Key::None).unwrap();
    // state.db says more than before; nothing else changed.
    assert!(same.objects <= 1, "{same:?}");
    world.deliver("ann", 150..153);
    let third = world.backup(Key::None).unwrap();
    assert!(third.objects <= 2, "{third:?}");
    assert!(first.objects > 3, "{first:?}");
    let all = generations(&world.target(Key::None)).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(third.messages, 153);
}

#[test]
fn a_verified_backup_covers_what_it_holds_and_nothing_younger() {
    let world = World::new();
    let old = world.deliver("ann", 0..5);
    let covered = || Covered::read(std::sync::Arc::clone(&world.store), &world.data()).unwrap();
    assert!(!covered().has(old[0]));
    world.backup(Key::None).unwrap();
    let new = world.deliver("ann", 5..6);
    let covered = covered();
    assert!(old.iter().all(|id| covered.has(*id)));
    assert!(!covered.has(new[0]));
}

/// A check or a drill had found the backup damaged, and mail was deleted at the provider because of it.
#[test]
fn a_backup_that_was_found_damaged_covers_nothing() {
    let world = World::new();
    let ids = world.deliver("ann", 0..80);
    let target = world.target(Key::None);
    let scratch = world.home.path().join("scratch");
    let covered = || {
        let covered = Covered::read(std::sync::Arc::clone(&world.store), &world.data()).unwrap();
        ids.iter().any(|id| covered.has(*id))
    };
    let check = || with(|h| verify_backup(&world.store, &world.data(), &target, h)).unwrap();
    let drilled = || with(|h| drill(&world.store, &world.data(), &target, &scratch, 0, h)).is_ok();
    // Not an object, which is noted as bad, but what names them.
    let spoil = || {
        let generation = world.backup(Key::None).unwrap().generation;
        assert!(covered());
        let path = world
            .home
            .path()
            .join("backups/generations")
            .join(generation);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    spoil();
    assert_eq!(check().damage.len(), 1);
    assert!(!covered());
    spoil();
    assert!(!drilled());
    assert!(!covered());
    world.backup(Key::None).unwrap();
    assert!(covered() && drilled());
}

/// What the data folder remembers of the last generation has an octet rotten: it went into every later one.
#[test]
fn what_is_remembered_wrong_is_not_believed() {
    let world = World::new();
    world.deliver("ann", 0..150);
    world.backup(Key::None).unwrap();
    let memory = files(&world.data().join("backup"));
    let [memory] = memory.as_slice() else {
        panic!("{memory:?}");
    };
    let text = std::fs::read_to_string(memory).unwrap();
    // Of a sealed pack, which is not looked at again.
    let from = text.find("\"number\":1,").unwrap();
    let at = from + text[from..].find("\"digest\":\"").unwrap() + 10;
    let wrong = if text.as_bytes()[at] == b'0' {
        "1"
    } else {
        "0"
    };
    let mut wrong_text = text.clone();
    wrong_text.replace_range(at..=at, wrong);
    std::fs::write(memory, wrong_text).unwrap();
    world.backup(Key::None).unwrap();
    world.restore("r", Key::None).unwrap();
}

#[test]
fn an_encrypted_backup_tells_nothing_and_comes_back_with_its_key() {
    let world = World::new();
    world.deliver("ann", 0..60);
    let identity = age::x25519::Identity::generate();
    let to = Key::Recipients(vec![identity.to_public().to_string()]);
    world.backup(to.clone()).unwrap();
    // Without the key the last generation is still known here.
    let again = world.backup(to).unwrap();
    assert!(again.objects <= 1, "{again:?}");
    for path in files(&world.home.path().join("backups")) {
        let bytes = std::fs::read(&path).unwrap();
        for told in ["Subject", "mbox", "SQLite", "\"ann\"", "octets"] {
            let found = bytes.windows(told.len()).any(|w| w == told.as_bytes());
            assert!(!found, "{} tells {told}", path.display());
        }
    }
    assert!(matches!(
        world.restore("r", Key::None),
        Err(BackupError::Key(_))
    ));
    use age::secrecy::ExposeSecret;
    let other = age::x25519::Identity::generate();
    let secret = |identity: &age::x25519::Identity| {
        Key::Identities(Secret::new(identity.to_string().expose_secret().as_bytes()))
    };
    assert!(matches!(
        world.restore("r", secret(&other)),
        Err(BackupError::Key(_))
    ));
    let verified = with(|h| {
        verify_backup(
            &world.store,
            &world.data(),
            &world.target(secret(&other)),
            h,
        )
    });
    assert!(matches!(verified, Err(BackupError::Key(_))), "{verified:?}");
    world.restore("r", secret(&identity)).unwrap();
    let restored = opened(&world.home.path().join("r"));
    assert_eq!(messages(&restored), messages(&world.store));
    // Whoever has no key can still check what is stored.
    let checked =
        with(|hooks| verify_backup(&world.store, &world.data(), &world.target(Key::None), hooks))
            .unwrap();
    assert!(checked.damage.is_empty() && !checked.opened && checked.objects > 0);
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let world = World::new();
    world.deliver("ann", 0..10);
    let phrase = |text: &str| Key::Passphrase(Secret::new(text.as_bytes()));
    world.backup(phrase("correct horse")).unwrap();
    world.backup(phrase("correct horse")).unwrap();
    assert!(matches!(
        world.backup(phrase("wrong")),
        Err(BackupError::Key(_))
    ));
    assert!(matches!(world.backup(Key::None), Err(BackupError::Key(_))));
    world.restore("r", phrase("correct horse")).unwrap();
    let restored = opened(&world.home.path().join("r"));
    assert_eq!(messages(&restored), messages(&world.store));
}

#[test]
fn what_is_missing_comes_back_and_what_is_there_stays() {
    let world = World::new();
    let ids = world.deliver("ann", 0..20);
    world.backup(Key::None).unwrap();
    let later = world.deliver("ann", 20..22);
    // Another archive in which there is a mailbox of that name already.
    let other = world.home.path().join("other");
    {
        let store = opened(&other);
        wait(store.create_mailbox("ann")).unwrap();
    }
    let report = world.restore("other", Key::None).unwrap();
    assert_eq!(report.restored["ann"], 20);
    let again = world.restore("other", Key::None).unwrap();
    assert!(again.restored.is_empty(), "{again:?}");
    let store = opened(&other);
    let there = messages(&store);
    let all = messages(&world.store);
    assert_eq!(there.len(), 20);
    assert!(ids.iter().all(|id| there[id] == all[id]));
    assert!(!there.contains_key(&later[0]));
    // One that was removed comes back too.
    let mailbox = wait(store.find_mailbox("ann")).unwrap().unwrap();
    wait(store.remove(mailbox.id, &ids[..1])).unwrap();
    drop(store);
    assert_eq!(
        world.restore("other", Key::None).unwrap().restored["ann"],
        1
    );
    let there = messages(&opened(&other));
    assert_eq!(there[&ids[0]], all[&ids[0]]);
}

#[test]
fn one_mailbox_comes_back_alone_and_a_dry_run_changes_nothing() {
    let world = World::new();
    world.deliver("ann", 0..5);
    world.deliver("bob", 5..9);
    world.backup(Key::None).unwrap();
    let to = world.home.path().join("r");
    let mut options = RestoreOptions {
        dry_run: true,
        ..RestoreOptions::default()
    };
    let target = world.target(Key::None);
    let run = |options: &RestoreOptions| with(|hooks| restore(&target, &to, options, hooks));
    assert_eq!(run(&options).unwrap().restored["bob"], 4);
    assert!(!to.exists());
    options.mailbox = Some("bob".into());
    options.dry_run = false;
    assert_eq!(run(&options).unwrap().restored["bob"], 4);
    let store = opened(&to);
    assert_eq!(wait(store.mailboxes()).unwrap().len(), 1);
    drop(store);
    options.mailbox = Some("eve".into());
    let error = run(&options).unwrap_err();
    assert!(error.to_string().contains("ann, bob"), "{error}");
}

#[test]
fn every_damaged_octet_is_named_and_costs_its_message_only() {
    let world = World::new();
    world.deliver("ann", 0..80);
    world.backup(Key::None).unwrap();
    let whole = messages(&world.store);
    let objects = files(&world.home.path().join("backups/objects"));
    let target = world.target(Key::None);
    for turn in 0..24u64 {
        let seed = blake3::hash(&turn.to_le_bytes());
        let random = u64::from_le_bytes(seed.as_bytes()[..8].try_into().unwrap());
        let path = &objects[(random % objects.len() as u64) as usize];
        let before = std::fs::read(path).unwrap();
        let mut bytes = before.clone();
        let at = (random >> 16) as usize % bytes.len();
        bytes[at] ^= 1 << (turn % 8);
        std::fs::write(path, &bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let checked = with(|h| verify_backup(&world.store, &world.data(), &target, h)).unwrap();
        assert_eq!(checked.damage.len(), 1, "{checked:?}");
        assert!(checked.damage[0].contains(name));
        let to = world.home.path().join(format!("r{turn}"));
        let refused = with(|h| restore(&target, &to, &RestoreOptions::default(), h));
        assert!(
            matches!(refused, Err(BackupError::Damage(_))),
            "{refused:?}"
        );
        if !before.starts_with(b"SQLite") {
            let skip = RestoreOptions {
                skip_damaged: true,
                ..RestoreOptions::default()
            };
            let report = with(|h| restore(&target, &to, &skip, h)).unwrap();
            let there = messages(&opened(&to));
            let lost = whole
                .iter()
                .filter(|(id, _)| !there.contains_key(id))
                .count();
            assert!(lost <= 1, "turn {turn}: {lost} are lost; {report:?}");
            assert!(there.iter().all(|(id, bytes)| whole[id] == *bytes));
        }
        std::fs::write(path, &before).unwrap();
    }
    // The next backup mends what was damaged here.
    let path = objects
        .iter()
        .find(|p| std::fs::metadata(p).unwrap().len() > 100_000)
        .unwrap();
    let before = std::fs::read(path).unwrap();
    std::fs::write(path, b"rotten").unwrap();
    assert!(
        with(|h| restore(
            &target,
            &world.home.path().join("x"),
            &RestoreOptions::default(),
            h
        ))
        .is_err()
    );
    let mended = world.backup(Key::None).unwrap();
    assert!(mended.objects >= 1);
    assert_eq!(std::fs::read(path).unwrap(), before);
}

#[test]
fn generations_are_in_the_order_they_were_made_in() {
    let world = World::new();
    let target = world.target(Key::None);
    let made: Vec<_> = (0..8)
        .map(|number| {
            world.deliver("ann", number..number + 1);
            world.backup(Key::None).unwrap().generation
        })
        .collect();
    let listed = generations(&target).unwrap().into_iter();
    assert_eq!(listed.map(|g| g.id).collect::<Vec<_>>(), made);
}

#[test]
fn pruning_keeps_what_kept_generations_need() {
    let world = World::new();
    let keep = "1 last".parse().unwrap();
    let target = world.target(Key::None);
    world.deliver("ann", 0..40);
    world.backup(Key::None).unwrap();
    // What a crash leaves behind.
    let stray = format!("backups/objects/00/00{}", "a1".repeat(31));
    let stray = world.home.path().join(stray);
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, b"x").unwrap();
    world.deliver("ann", 40..60);
    let pruned = with(|h| backup(&world.store, &world.data(), &target, Some(&keep), false, h));
    let pruned = pruned.unwrap().pruned.unwrap();
    assert_eq!((pruned.generations, pruned.busy), (1, false));
    assert!(pruned.objects >= 2, "{pruned:?}");
    assert!(!stray.exists());
    world.restore("r", Key::None).unwrap();
    let restored = opened(&world.home.path().join("r"));
    assert_eq!(messages(&restored), messages(&world.store));
}

#[test]
fn a_destination_that_went_is_not_begun_anew_unasked() {
    let world = World::new();
    world.deliver("ann", 0..3);
    world.backup(Key::None).unwrap();
    std::fs::remove_dir_all(world.home.path().join("backups")).unwrap();
    let error = world.backup(Key::None).unwrap_err();
    assert!(error.to_string().contains("mounted"), "{error}");
    let target = world.target(Key::None);
    with(|h| backup(&world.store, &world.data(), &target, None, true, h)).unwrap();
    world.restore("r", Key::None).unwrap();
}

#[test]
fn a_backup_beside_deliveries_and_a_compactor_is_whole() {
    let world = World::new();
    let ids = world.deliver("ann", 0..150);
    let mailbox = wait(world.store.find_mailbox("ann")).unwrap().unwrap().id;
    wait(world.store.remove(mailbox, &ids[..100])).unwrap();
    let kept: Vec<_> = ids[100..].to_vec();
    let busy = Options {
        hold_ms: 0,
        grace_ms: 0,
        ..options()
    };
    let other = EmbeddedStore::open(&world.data(), busy).unwrap();
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| {
            for _ in 0..6 {
                let _ = other.compact_now();
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
        });
        let delivering = scope.spawn(|| world.deliver("ann", 1_000..1_060));
        for round in 0..4 {
            world.backup(Key::None).unwrap();
            let name = format!("r{round}");
            world.restore(&name, Key::None).unwrap();
            let there = messages(&opened(&world.home.path().join(&name)));
            assert!(
                kept.iter()
                    .all(|id| there.get(id).is_some_and(Option::is_some))
            );
        }
        compacting.join().unwrap();
        delivering.join().unwrap();
    });
}
