//! What a destination may be besides right: another archive's, half written, behind the clock.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod world;

use restante_backup::{
    BackupError, Key, State, Target, backup, drill, finish_half_done, generations, verify_archive,
    verify_backup,
};
use world::{World, files, messages, opened, with};

/// Two machines with one folder: each would prune the other's generations.
#[test]
fn another_archives_backups_are_not_joined() {
    let (one, other) = (World::new(), World::new());
    one.deliver("ann", 0..5);
    other.deliver("bob", 5..10);
    one.backup(Key::None).unwrap();
    let target = one.target(Key::None);
    let keep = "1 last".parse().unwrap();
    for anew in [false, true] {
        let joined = with(|h| backup(&other.store, &other.data(), &target, Some(&keep), anew, h));
        let error = joined.unwrap_err();
        assert!(matches!(error, BackupError::Usage(_)), "{error}");
        assert!(error.to_string().contains("another archive"), "{error}");
    }
    // To look at it makes it nobody's own, and says nothing good of what is somebody else's.
    let looked = with(|h| verify_backup(&other.store, &other.data(), &target, h)).unwrap_err();
    let scratch = other.home.path().join("scratch");
    let drilled =
        with(|h| drill(&other.store, &other.data(), &target, &scratch, 0, h)).unwrap_err();
    for error in [looked, drilled] {
        assert!(error.to_string().contains("another archive"), "{error}");
    }
    assert!(with(|h| backup(&other.store, &other.data(), &target, None, false, h)).is_err());
    assert_eq!(generations(&target).unwrap().len(), 1);
    one.backup(Key::None).unwrap();
}

/// What is remembered is lost, or the disk has another name now: the packs tell.
#[test]
fn an_archive_knows_its_backups_again_by_its_packs() {
    let world = World::new();
    world.deliver("ann", 0..5);
    world.backup(Key::None).unwrap();
    std::fs::remove_file(world.data().join("state.db")).unwrap();
    std::fs::remove_dir_all(world.data().join("backup")).unwrap();
    world.backup(Key::None).unwrap();
    let moved = world.home.path().join("moved");
    std::fs::rename(world.home.path().join("backups"), &moved).unwrap();
    let target = Target {
        place: moved.to_str().unwrap().to_owned(),
        key: Key::None,
    };
    with(|h| backup(&world.store, &world.data(), &target, None, false, h)).unwrap();
    assert_eq!(generations(&target).unwrap().len(), 3);
}

/// Without the key nobody can tell whose they are; with it once, they are known.
#[test]
fn encrypted_backups_that_are_not_remembered_need_their_key_once() {
    use age::secrecy::ExposeSecret;
    let world = World::new();
    world.deliver("ann", 0..5);
    let identity = age::x25519::Identity::generate();
    let to = Key::Recipients(vec![identity.to_public().to_string()]);
    world.backup(to.clone()).unwrap();
    std::fs::remove_file(world.data().join("state.db")).unwrap();
    std::fs::remove_dir_all(world.data().join("backup")).unwrap();
    let refused = world.backup(to.clone()).unwrap_err();
    assert!(refused.to_string().contains("--identity-file"), "{refused}");
    let secret = restante_proto::Secret::new(identity.to_string().expose_secret().as_bytes());
    world.backup(Key::Identities(secret)).unwrap();
    world.backup(to).unwrap();
}

/// A backup that was killed leaves objects that no generation speaks for; should one rot, the next
/// backup said for ever that the destination cannot be trusted.
#[test]
fn what_no_generation_speaks_for_is_read_before_it_counts() {
    let world = World::new();
    world.deliver("ann", 0..80);
    world.backup(Key::None).unwrap();
    std::fs::remove_dir_all(world.home.path().join("backups/generations")).unwrap();
    std::fs::remove_dir_all(world.data().join("backup")).unwrap();
    let objects = files(&world.home.path().join("backups/objects"));
    let rotten = objects
        .iter()
        .max_by_key(|path| std::fs::metadata(path).unwrap().len());
    let rotten = rotten.unwrap();
    let right = std::fs::read(rotten).unwrap();
    let mut bytes = right.clone();
    bytes[1_000] ^= 1;
    std::fs::write(rotten, bytes).unwrap();
    let report = world.backup(Key::None).unwrap();
    assert_eq!(std::fs::read(rotten).unwrap(), right);
    assert!(report.objects >= 1, "{report:?}");
    world.restore("r", Key::None).unwrap();
    let restored = opened(&world.home.path().join("r"));
    assert_eq!(messages(&restored), messages(&world.store));
}

/// A listing that does not show the newest yet, or a clock that went back: the next one comes after it.
#[test]
fn a_generation_comes_after_the_last_that_is_remembered() {
    let world = World::new();
    world.deliver("ann", 0..3);
    let hidden = world.backup(Key::None).unwrap().generation;
    let path = |id: &str| world.home.path().join("backups/generations").join(id);
    let bytes = std::fs::read(path(&hidden)).unwrap();
    std::fs::remove_file(path(&hidden)).unwrap();
    let next = world.backup(Key::None).unwrap().generation;
    std::fs::write(path(&hidden), bytes).unwrap();
    let listed = generations(&world.target(Key::None)).unwrap();
    let ids: Vec<_> = listed.into_iter().map(|one| one.id).collect();
    assert_eq!(ids, [hidden, next]);
}

/// Past the limit nothing went any more: neither a restore nor the pruning that was asked for.
#[test]
fn too_many_generations_hinder_only_who_would_add_to_them() {
    let world = World::new();
    world.deliver("ann", 0..5);
    world.backup(Key::None).unwrap();
    let folder = world.home.path().join("backups/generations");
    for number in 0..restante_backup::limits::GENERATIONS {
        let name = format!("00000000-20200101T000000.000Z-{number:08x}");
        std::fs::write(folder.join(name), b"").unwrap();
    }
    world.restore("r", Key::None).unwrap();
    let restored = opened(&world.home.path().join("r"));
    assert_eq!(messages(&restored), messages(&world.store));
    let refused = world.backup(Key::None).unwrap_err();
    assert!(matches!(refused, BackupError::Usage(_)), "{refused}");
    assert!(refused.to_string().contains("--keep"), "{refused}");
    let (target, keep) = (world.target(Key::None), "1 last".parse().unwrap());
    let done = with(|h| backup(&world.store, &world.data(), &target, Some(&keep), false, h));
    let pruned = done.unwrap().pruned.unwrap().generations;
    assert_eq!(pruned, restante_backup::limits::GENERATIONS as u64 + 1);
    world.backup(Key::None).unwrap();
    assert_eq!(generations(&target).unwrap().len(), 2);
}

/// A check beside the pruning of `serve` took for damage what pruning had removed.
#[test]
fn who_looks_at_generations_keeps_them_from_being_pruned() {
    let world = World::new();
    let target = world.target(Key::None);
    let keep = "1 last".parse().unwrap();
    world.deliver("ann", 0..60);
    world.backup(Key::None).unwrap();
    world.deliver("ann", 60..90);
    // In the midst of a check, a backup with pruning.
    let once = std::sync::Once::new();
    let met = std::sync::Mutex::new(None);
    let progress = |_| {
        once.call_once(|| {
            let done =
                with(|h| backup(&world.store, &world.data(), &target, Some(&keep), false, h));
            *met.lock().unwrap() = Some(done.unwrap().pruned.unwrap());
        });
    };
    let hooks = restante_backup::Hooks::new(&progress, &|| false, None);
    let checked = verify_backup(&world.store, &world.data(), &target, &hooks).unwrap();
    assert_eq!(checked.damage, [""; 0]);
    let pruned = met.lock().unwrap().take().unwrap();
    assert!(pruned.busy && pruned.generations == 0, "{pruned:?}");
}

/// A mounted disk has folders of its owner's, some under the very names that a backup uses.
#[test]
fn what_others_keep_there_is_not_touched() {
    let world = World::new();
    world.deliver("ann", 0..10);
    world.backup(Key::None).unwrap();
    let theirs = [
        "backups/tmp/holiday.jpg",
        "backups/tmp/0123456789abcdef.jpg",
        "backups/tmp/mine/0123456789abcdef",
        "backups/objects/pack/pack-1.idx",
        "backups/objects/ab/0123456789012345678901234567890123456789",
        "backups/generations/family-tree",
        "backups/leases/reading-list",
        "scratch/drill-plan/x",
        "scratch/drill-0123456789abcdef.txt",
    ];
    let theirs = theirs.map(|name| world.home.path().join(name));
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let put = |path: &std::path::Path| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(path).unwrap();
        file.set_modified(old).unwrap();
    };
    theirs.iter().for_each(|path| put(path));
    let left_over = world.home.path().join("backups/tmp/0123456789abcdef");
    put(&left_over);
    // Somebody's lease, half written.
    let arriving = world.home.path().join("backups/tmp/fedcba9876543210");
    std::fs::write(&arriving, b"").unwrap();
    let (target, keep) = (world.target(Key::None), "1 last".parse().unwrap());
    let done = with(|h| backup(&world.store, &world.data(), &target, Some(&keep), false, h));
    assert!(!done.unwrap().pruned.unwrap().busy);
    let scratch = world.home.path().join("scratch");
    with(|h| drill(&world.store, &world.data(), &target, &scratch, 0, h)).unwrap();
    for path in &theirs {
        assert!(path.exists(), "{} is gone", path.display());
    }
    assert!(!left_over.exists());
    assert!(arriving.exists());
}

/// A repository of git's has `objects/` too; and backups whose description is lost keep their key.
#[test]
fn nothing_begins_among_files_that_it_could_take_for_its_own() {
    let world = World::new();
    world.deliver("ann", 0..3);
    let place = world.home.path().join("backups");
    for name in ["objects/info/packs", "generations/x", "tmp/x"] {
        let path = place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"").unwrap();
        let refused = world.backup(Key::None).unwrap_err();
        assert!(matches!(refused, BackupError::Usage(_)), "{refused}");
        assert!(refused.to_string().contains(name), "{refused}");
        std::fs::remove_file(path).unwrap();
    }
    let phrase = || Key::Passphrase(restante_proto::Secret::new(b"correct horse"));
    world.backup(phrase()).unwrap();
    let key = std::fs::read(place.join("key.age")).unwrap();
    let description = place.join("restante-backup.json");
    let described = std::fs::read(&description).unwrap();
    std::fs::remove_file(&description).unwrap();
    let target = world.target(phrase());
    let refused = with(|h| backup(&world.store, &world.data(), &target, None, true, h));
    assert!(refused.unwrap_err().to_string().contains("bring the file"));
    assert_eq!(std::fs::read(place.join("key.age")).unwrap(), key);
    std::fs::write(&description, described).unwrap();
    world.restore("r", phrase()).unwrap();
}

/// One flipped bit in a name of the first line, and pruning removed the object that was meant.
#[test]
fn pruning_removes_nothing_while_a_kept_generation_is_damaged() {
    let world = World::new();
    world.deliver("ann", 0..40);
    let first = world.backup(Key::None).unwrap().generation;
    world.deliver("ann", 40..60);
    world.backup(Key::None).unwrap();
    let path = world.home.path().join("backups/generations").join(&first);
    let right = std::fs::read(&path).unwrap();
    let text = String::from_utf8(right.clone()).unwrap();
    let at = text.find("\"objects\":[\"").unwrap() + 13;
    let mut bytes = right.clone();
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    std::fs::write(&path, bytes).unwrap();
    let objects = || files(&world.home.path().join("backups/objects"));
    let before = objects();
    let (target, keep) = (world.target(Key::None), "3 last".parse().unwrap());
    let prune = |keep| {
        world.deliver("ann", 60..61);
        with(|h| backup(&world.store, &world.data(), &target, Some(keep), false, h)).unwrap()
    };
    let done = prune(&keep);
    let error = done.prune_error.unwrap();
    assert!(error.contains(&first), "{error}");
    assert!(before.iter().all(|path| path.exists()));
    std::fs::write(&path, right).unwrap();
    assert_eq!(prune(&"1 last".parse().unwrap()).prune_error, None);
    world.restore("r", Key::None).unwrap();
}

/// Day by day a backup of a damaged archive went well, until retention had removed the last whole one.
#[test]
fn nothing_is_pruned_while_the_archive_is_damaged() {
    use std::os::unix::fs::FileExt;
    let world = World::new();
    world.deliver("ann", 0..10);
    let (target, keep) = (world.target(Key::None), "1 last".parse().unwrap());
    let pruning = || {
        let done = with(|h| backup(&world.store, &world.data(), &target, Some(&keep), false, h));
        let known = State::look(&world.data()).unwrap().unwrap().places();
        (done.unwrap(), known.unwrap().remove(0))
    };
    let verify = || with(|h| verify_archive(&world.store, &world.data(), h)).unwrap();
    let flip = || {
        let path = world.data().join("packs/000001.mbox.zst");
        let mut options = std::fs::OpenOptions::new();
        let pack = options.read(true).write(true).open(path).unwrap();
        let at = pack.metadata().unwrap().len() / 2;
        let mut octet = [0];
        pack.read_exact_at(&mut octet, at).unwrap();
        pack.write_all_at(&[octet[0] ^ 1], at).unwrap();
    };
    pruning();
    flip();
    let (done, known) = pruning();
    assert!(!done.damage.is_empty() && done.pruned.is_none(), "{done:?}");
    assert!(done.prune_error.is_some() && known.prune_error == done.prune_error);
    assert!(
        known.damage.is_some() && known.backup_ms.is_some(),
        "{known:?}"
    );
    assert_eq!(generations(&target).unwrap().len(), 2);
    assert!(!verify().damage.is_empty());
    // Mended, as far as a backup sees, which does not look at all of it.
    flip();
    let (done, known) = pruning();
    assert!(done.damage.is_empty() && known.damage.is_none(), "{done:?}");
    assert!(done.pruned.is_none() && known.archive_damage.is_some());
    assert_eq!(verify().damage, [""; 0]);
    let (done, known) = pruning();
    assert_eq!(done.pruned.unwrap().generations, 3);
    assert_eq!((known.archive_damage, known.prune_error), (None, None));
}

/// A restore with --skip-damaged that was killed: the next one took the damaged packs for checked, and whoever
/// finished it left them as they were.
#[test]
fn damage_in_a_restore_that_was_cut_off_is_not_forgotten() {
    let world = World::new();
    world.deliver("ann", 0..60);
    let generation = world.backup(Key::None).unwrap().generation;
    let packs = files(&world.data().join("packs"));
    let stage = |to: &str, marks: &[&str]| {
        let data = world.home.path().join(to);
        let folder = data.join(format!("restore-{generation}"));
        std::fs::create_dir_all(folder.join("packs")).unwrap();
        for pack in &packs {
            let mut bytes = std::fs::read(pack).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            let name = pack.file_name().unwrap();
            std::fs::write(folder.join("packs").join(name), bytes).unwrap();
        }
        for mark in marks {
            std::fs::write(folder.join(mark), b"").unwrap();
        }
        (data, folder)
    };
    let (data, _) = stage("r", &["damaged"]);
    world.restore("r", Key::None).unwrap();
    assert_eq!(messages(&opened(&data)), messages(&world.store));
    let (data, folder) = stage("s", &["damaged", "complete"]);
    assert!(finish_half_done(&data).unwrap());
    assert!(!folder.exists());
    let store = opened(&data);
    let there = messages(&store);
    assert!(there.values().all(Option::is_some));
    assert!(there.len() + packs.len() >= 60, "{}", there.len());
    let own = with(|h| verify_archive(&store, &data, h)).unwrap();
    assert_eq!(own.damage, [""; 0]);
}

/// What a check had seen in spring counted as checked today, when another went on with it.
#[test]
fn a_check_goes_on_with_what_was_seen_lately_only() {
    let world = World::new();
    world.deliver("ann", 0..300);
    world.backup(Key::None).unwrap();
    let target = world.target(Key::None);
    let began = restante_backup::Hooks::new(&|_| {}, &|| true, None);
    let stop = || {
        let stopped = verify_backup(&world.store, &world.data(), &target, &began);
        assert!(matches!(stopped, Err(BackupError::Stopped)), "{stopped:?}");
    };
    let check = || with(|h| verify_backup(&world.store, &world.data(), &target, h)).unwrap();
    let age = |days: u64| {
        let state = rusqlite::Connection::open(world.data().join("state.db")).unwrap();
        let age = "UPDATE backup_checked SET at_ms = at_ms - ? * 86400000";
        assert!(state.execute(age, [days as i64]).unwrap() > 0);
    };
    let known = || {
        let known = State::look(&world.data()).unwrap().unwrap().places();
        known.unwrap()[0].verify_ms.unwrap()
    };
    stop();
    age(2);
    let report = check();
    assert!(report.skipped > 0 && report.objects > 0, "{report:?}");
    let two_days = 2 * 86_400_000;
    assert_eq!(known(), report.since_ms);
    stop();
    age(8);
    let again = check();
    assert_eq!(again.skipped, 0);
    assert!(known() >= report.since_ms + two_days);
}

/// Encrypted anew, all that a backup had sent had other names: one that was interrupted began from nothing.
#[test]
fn an_encrypted_backup_goes_on_where_it_was() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let world = World::new();
    world.deliver("ann", 0..300);
    let to = age::x25519::Identity::generate().to_public().to_string();
    let target = world.target(Key::Recipients(vec![to]));
    let (passed, limit) = (AtomicU64::new(0), 400_000);
    let progress = |octets| {
        passed.fetch_add(octets, Ordering::Relaxed);
    };
    let stop = || passed.load(Ordering::Relaxed) > limit;
    let hooks = restante_backup::Hooks::new(&progress, &stop, None);
    let stopped = backup(&world.store, &world.data(), &target, None, false, &hooks);
    assert!(matches!(stopped, Err(BackupError::Stopped)), "{stopped:?}");
    let objects = || files(&world.home.path().join("backups/objects")).len();
    let sent = objects();
    assert!(sent > 2, "{sent}");
    let done = with(|h| backup(&world.store, &world.data(), &target, None, false, h)).unwrap();
    assert_eq!(objects(), sent + done.objects as usize);
    // All but a copy of state.db is of use.
    let checked = with(|h| verify_backup(&world.store, &world.data(), &target, h)).unwrap();
    assert!(checked.objects as usize + 1 >= objects(), "{checked:?}");
    let left = files(&world.data().join("backup"));
    assert!(
        left.iter().all(|path| path.extension().unwrap() != "sent"),
        "{left:?}"
    );
}

/// A drill that was killed leaves its copy of all mail behind.
#[test]
fn a_drill_clears_away_what_is_left_of_another_and_looks_for_room() {
    let world = World::new();
    world.deliver("ann", 0..10);
    world.backup(Key::None).unwrap();
    let scratch = world.home.path().join("scratch");
    std::fs::create_dir_all(scratch.join("drill-0123456789abcdef/packs")).unwrap();
    let target = world.target(Key::None);
    let run =
        |min_free| with(|h| drill(&world.store, &world.data(), &target, &scratch, min_free, h));
    assert_eq!(run(0).unwrap().same, 10);
    assert_eq!(files(&scratch), [scratch.join("drill.lock")]);
    let error = run(u64::MAX).unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
    let known = State::look(&world.data())
        .unwrap()
        .unwrap()
        .places()
        .unwrap();
    assert!(known[0].drill_ms.is_some());
    assert!(known[0].drill_error.as_ref().unwrap().contains("no room"));
}
