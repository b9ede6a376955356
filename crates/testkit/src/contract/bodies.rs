//! Bytes come out as they went in, with the sizes that POP3 announces.

use restante_store::limits::BODY_CHUNK_OCTETS;
use restante_store::{Hints, ViewId};

use super::{Bench, Make};
use crate::corpus;
use crate::exec::{block_on, collect_from, deliver, read_all, seal};
use crate::memory::measure;

/// Everything awkward that the project carries, one mailbox, read through listing and by id.
pub fn awkward_bodies_come_back_to_the_octet(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let samples = corpus::small();
    let mut total = 0;
    for sample in &samples {
        let id = deliver(store, bench.mailbox, &sample.bytes).expect("stored");
        let (octets, _) = measure(&sample.bytes);
        total += octets;
        let info = block_on(store.message(id))
            .expect("found")
            .expect("is there");
        assert_eq!(info.size, sample.bytes.len() as u64, "{}", sample.name);
        assert_eq!(info.octets, octets, "{}", sample.name);
        assert_eq!(info.digest, *blake3::hash(&sample.bytes).as_bytes());
        let mut body = block_on(store.read(id)).expect("opened");
        assert!(
            read_all(body.as_mut()).expect("read") == sample.bytes,
            "{}",
            sample.name
        );
    }
    let drop = bench.plain();
    assert_eq!(drop.totals().count, samples.len() as u64);
    assert_eq!(drop.totals().octets, total);
    let listing = block_on(drop.listing()).expect("listed");
    for (index, sample) in samples.iter().enumerate() {
        let (octets, hints) = measure(&sample.bytes);
        let mut body = block_on(drop.body(index)).expect("opened");
        assert_eq!(listing[index].octets, octets, "{}", sample.name);
        assert_eq!(body.hints(), hints, "{}", sample.name);
        assert_eq!(body.size(), sample.bytes.len() as u64, "{}", sample.name);
        assert!(
            read_all(body.as_mut()).expect("read") == sample.bytes,
            "{}",
            sample.name
        );
    }
}

/// RFC 1939 §11: a size counts each line end as two octets; byte-stuffed dots are not counted.
pub fn sizes_and_hints_are_those_of_the_rfc(make: Make<'_>) {
    let bench = Bench::new(make);
    let cases: [(&[u8], u64, bool, bool); 14] = [
        (b"", 0, true, false),
        (b"a\r\n", 3, true, false),
        (b"a\n", 3, false, false),
        (b"a", 3, false, false),
        (b"a\r", 4, false, false),
        (b"\r\r\n", 3, true, false),
        (b"a\rb\r\n", 5, true, false),
        (b"a\n\nb\r\n", 8, false, false),
        (b"\n\r\n", 4, false, false),
        (b".", 3, false, true),
        (b"..\r\n", 4, true, true),
        (b"a\r\n.\r\n", 6, true, true),
        (b"a\n.b\r\n", 7, false, true),
        (b"a\r.b\r\n", 6, true, false),
    ];
    for (bytes, octets, all_crlf, dot_lines) in cases {
        let sealed = seal(bench.store.as_ref(), bytes).expect("sealed");
        let hints = Hints {
            all_crlf,
            dot_lines,
        };
        let name = bytes.escape_ascii();
        assert_eq!(sealed.size, bytes.len() as u64, "{name}");
        assert_eq!(sealed.octets, octets, "{name}");
        assert_eq!(sealed.hints, hints, "{name}");
        assert_eq!(sealed.digest, *blake3::hash(bytes).as_bytes(), "{name}");
    }
}

/// Line ends, dots and From-lines across the border of two writes are seen all the same.
pub fn where_a_draft_is_cut_does_not_matter(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let whole = b".a\r\n\n.b\rFrom c\r\n>From d\nFrom e\r\n>>From f\r\n.\r\nFrom ";
    let (octets, hints) = measure(whole);
    for cut in 0..=whole.len() {
        let mut draft = store.draft(None).expect("a draft");
        draft.write(&whole[..cut]).expect("written");
        draft.write(b"").expect("written");
        draft.write(&whole[cut..]).expect("written");
        let message = draft.seal().expect("sealed");
        assert_eq!(
            (message.octets, message.hints),
            (octets, hints),
            "cut at {cut}"
        );
        assert_eq!(message.digest, *blake3::hash(whole).as_bytes());
        if cut % 8 != 0 {
            continue;
        }
        let id = block_on(store.commit(vec![super::deliveries::to(bench.mailbox, &message)]));
        let mut body = block_on(store.read(id.expect("stored")[0])).expect("opened");
        assert_eq!(
            read_all(body.as_mut()).expect("read"),
            whole,
            "cut at {cut}"
        );
    }
    let mut draft = store.draft(Some(1)).expect("a draft");
    for octet in whole {
        draft.write(&[*octet]).expect("written");
    }
    let message = draft.seal().expect("sealed");
    assert_eq!((message.octets, message.hints), (octets, hints));
}

/// A large message streams: no piece is larger than the limit, and together they are the message.
pub fn a_message_of_20_mb_comes_in_small_pieces(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    // Half of it compresses well, half not at all.
    let block = [corpus::usual(1, 50_000), corpus::noise(50_000)].concat();
    let mut draft = store.draft(Some(20_000_000)).expect("a draft");
    let mut digest = blake3::Hasher::new();
    for _ in 0..200 {
        draft.write(&block).expect("written");
        digest.update(&block);
    }
    let message = draft.seal().expect("sealed");
    let size = 200 * block.len() as u64;
    assert_eq!(message.size, size);
    let delivery = super::deliveries::to(bench.mailbox, &message);
    block_on(store.commit(vec![delivery])).expect("stored");
    let drop = bench.plain();
    let mut body = block_on(drop.body(0)).expect("opened");
    assert_eq!(body.size(), size);
    let mut read = blake3::Hasher::new();
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let octets = block_on(body.read(&mut piece)).expect("read");
        assert_eq!(octets, piece.len());
        assert!(octets <= BODY_CHUNK_OCTETS);
        if octets == 0 {
            break;
        }
        read.update(&piece);
    }
    assert_eq!(read.finalize(), digest.finalize());
}

/// A sender that went away leaves no trace.
pub fn a_dropped_draft_leaves_nothing(make: Make<'_>) {
    let bench = Bench::new(make);
    let mut draft = bench.store.draft(None).expect("a draft");
    draft.write(&corpus::noise(600_000)).expect("written");
    drop(draft);
    drop(seal(bench.store.as_ref(), b"sealed, never committed\r\n").expect("sealed"));
    assert_eq!(bench.count(), 0);
    assert_eq!(bench.plain().totals().count, 0);
    bench.deliver("after\r\n");
    assert_eq!(bench.texts(ViewId::PLAIN), ["after\r\n"]);
}

/// Bodies are values of their own: reading one does not move another.
pub fn two_readers_of_one_body_do_not_disturb_each_other(make: Make<'_>) {
    let bench = Bench::new(make);
    let bytes = corpus::usual(5, 200_000);
    deliver(bench.store.as_ref(), bench.mailbox, &bytes).expect("stored");
    let drop = bench.plain();
    let mut first = block_on(drop.body(0)).expect("opened");
    let mut second = block_on(drop.body(0)).expect("opened");
    let (mut a, mut b) = (Vec::new(), Vec::new());
    loop {
        let more = block_on(first.read(&mut a)).expect("read");
        let also = block_on(second.read(&mut b)).expect("read");
        if more == 0 && also == 0 {
            break;
        }
    }
    assert!(a == bytes && b == bytes);
    assert_eq!(collect_from(drop.as_ref()).expect("collected")[0].1, bytes);
}
