//! What a session may cost.

use restante_proto::limits::OUTPUT_OCTETS;
use restante_proto::server::{
    Closing, Effect, MaildropListing, Patience, Session, Settings, Totals,
};

const COUNT: u64 = 100_000;

struct Many;

impl MaildropListing for Many {
    fn len(&self) -> usize {
        COUNT as usize
    }
    fn octets(&self, _: usize) -> u64 {
        u64::from(u32::MAX)
    }
    fn unique_id(&self, index: usize, into: &mut Vec<u8>) {
        into.extend_from_slice(format!("{index:070}").as_bytes());
    }
}

fn logged_in() -> Session {
    let mut out = Vec::new();
    let settings = Settings {
        tls_active: true,
        stls: true,
        plaintext_login: false,
    };
    let mut session = Session::new(settings, &mut out);
    session.feed(b"USER tim\r\nPASS pw\r\n");
    let effect = session.poll(None::<&Many>, &mut out);
    assert!(matches!(effect, Effect::Authenticate(_)), "{effect:?}");
    let totals = Totals {
        count: COUNT,
        octets: COUNT * u64::from(u32::MAX),
    };
    session.authenticated(Ok(totals), &mut out);
    assert_eq!(session.patience(), Patience::Transaction);
    session
}

#[test]
fn a_session_is_small() {
    assert!(std::mem::size_of::<Session>() <= 256);
}

#[test]
fn a_long_listing_comes_in_bounded_parts() {
    let mut session = logged_in();
    let mut out = Vec::new();
    session.feed(b"UIDL\r\nSTAT\r\n");
    let mut all = Vec::new();
    loop {
        let effect = session.poll(Some(&Many), &mut out);
        assert!(out.len() < OUTPUT_OCTETS + 512, "{}", out.len());
        all.append(&mut out);
        match effect {
            Effect::Flush => {}
            Effect::NeedInput => break,
            other => panic!("{other:?}"),
        }
    }
    // The octets do not fit 32 bits.
    assert!(all.ends_with(b"\r\n.\r\n+OK 100000 429496729500000\r\n"));
    assert_eq!(all.split(|&b| b == b'\n').count() - 1, COUNT as usize + 3);
}

#[test]
fn commands_wait_while_replies_are_unsent() {
    let mut session = logged_in();
    session.feed(b"NOOP\r\nQUIT\r\n");
    let mut out = vec![b'x'; OUTPUT_OCTETS];
    assert!(matches!(session.poll(Some(&Many), &mut out), Effect::Flush));
    assert_eq!(out.len(), OUTPUT_OCTETS);
    out.clear();
    let effect = session.poll(Some(&Many), &mut out);
    assert!(matches!(effect, Effect::Close(Closing::Quit)), "{effect:?}");
    assert_eq!(out, b"+OK\r\n+OK bye\r\n");
}
