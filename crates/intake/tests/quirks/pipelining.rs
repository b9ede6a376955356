//! Servers that say PIPELINING and cannot.

use std::time::Duration;

use restante_testkit::scripted::{Quirks, Trickle, messages};

use crate::bench::Bench;

/// Fetches everything once, whatever it takes; then remembers not to try it again.
async fn falls_back(quirks: Quirks) {
    let all = messages(30);
    let bench = Bench::new(all.clone(), quirks.clone()).await.deleting();
    let told = bench.fetch().await;
    bench.assert_safe("first");
    if told.outcome.is_err() {
        bench.fetch().await.summary();
    }
    bench.assert_archived(&all);
    assert!(bench.server.maildrop().is_empty());
    let used = bench.server.sessions();
    assert!(used <= 4, "{used} sessions");
    let more: Vec<_> = messages(40).split_off(30);
    more.iter()
        .for_each(|message| bench.server.deliver(message.clone()));
    assert_eq!(bench.fetch().await.summary().stored, 10);
    assert_eq!(bench.server.sessions(), used + 1, "it is remembered");
    bench.assert_archived(&[all, more].concat());
}

#[tokio::test]
async fn input_behind_the_first_line_is_thrown_away() {
    falls_back(Quirks {
        one_command_a_read: true,
        ..Quirks::default()
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_closed_on_pipelined_input() {
    falls_back(Quirks {
        closes_on_pipelining: true,
        ..Quirks::default()
    })
    .await;
}

#[tokio::test]
async fn replies_come_in_another_order() {
    falls_back(Quirks {
        out_of_order: true,
        ..Quirks::default()
    })
    .await;
}

/// Without PIPELINING no command goes out before the last is answered: this server would close.
#[tokio::test]
async fn a_server_that_does_not_offer_it_gets_one_command_at_a_time() {
    let capabilities = Some(vec!["TOP", "UIDL", "USER", "RESP-CODES"]);
    let quirks = Quirks {
        capabilities_before: capabilities.clone(),
        capabilities_after: capabilities,
        closes_on_pipelining: true,
        ..Quirks::default()
    };
    let all = messages(10);
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    assert_eq!(bench.fetch().await.summary().deleted, 10);
    assert_eq!(bench.server.sessions(), 1);
    bench.assert_archived(&all);
}

/// Slow is not broken: as long as something comes, the time of silence begins anew.
#[tokio::test]
async fn a_slow_trickle_is_borne() {
    let quirks = Quirks {
        trickle: Some(Trickle {
            octets: 97,
            pause: Duration::from_millis(20),
        }),
        ..Quirks::default()
    };
    let all = messages(40);
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let told = bench.fetch().await;
    assert!(told.took > crate::bench::SILENCE, "{:?}", told.took);
    assert_eq!(told.summary().deleted, 40);
    assert_eq!(bench.server.sessions(), 1);
    bench.assert_archived(&all);
}
