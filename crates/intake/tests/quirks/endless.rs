//! Servers that never stop.

use std::time::Duration;

use restante_intake::fetch::Kind;
use restante_testkit::scripted::{Endless, Quirks, messages};

use crate::bench::Bench;

/// What a client may take in before it sees that this does not end: less than a gigabyte in any case.
const SOME: u64 = 1_000_000_000;

async fn ends(endless: Endless) -> Bench {
    let all = messages(3);
    let quirks = Quirks {
        endless: Some(endless),
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let told = bench.fetch().await;
    assert!(
        told.took < Duration::from_secs(50),
        "{endless:?}: {:?}",
        told.took
    );
    assert!(
        bench.server.octets_sent() < SOME,
        "{endless:?}: {}",
        bench.server.octets_sent()
    );
    if let Err(error) = &told.outcome {
        assert_eq!(error.kind(), Kind::Protocol, "{endless:?}: {error}");
    }
    bench.assert_safe("endless");
    assert!(bench.server.deleted().is_empty(), "{endless:?}");
    // Right again, the server is fetched from.
    bench.server.change(|quirks| quirks.endless = None);
    bench.fetch().await.summary();
    bench.assert_archived(&all);
    bench
}

#[tokio::test]
async fn capabilities_without_end() {
    ends(Endless::Capabilities).await;
}

#[tokio::test]
async fn a_scan_listing_without_end() {
    ends(Endless::Listing).await;
}

#[tokio::test]
async fn a_unique_id_listing_without_end() {
    ends(Endless::UniqueIds).await;
}

#[tokio::test]
async fn a_line_without_end() {
    ends(Endless::Line).await;
}

#[tokio::test]
async fn a_status_line_without_end() {
    ends(Endless::Status).await;
}

/// Never taken for a whole one, and set aside or an error at last.
#[tokio::test]
async fn a_message_without_end() {
    ends(Endless::Message).await;
}
