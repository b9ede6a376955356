//! Devices: views of one mailbox, windows on it, and what becomes of a session whose device is removed.

use std::time::Duration;

use restante_access::pop3::Options;
use restante_testkit::memory::wall_clock_ms;

use crate::world::{Client, Server, message};

async fn delete_all(server: &Server, login: &str) -> usize {
    let mut client = Client::log_in_as(server, login).await;
    let count = client.unique_ids().await.len();
    for number in 1..=count {
        assert_eq!(client.retrieve(number).await.first(), Some(&b'S'));
        assert_eq!(
            client.ask(&format!("DELE {number}")).await,
            "+OK deleted\r\n"
        );
    }
    assert_eq!(client.ask("QUIT").await, "+OK bye\r\n");
    count
}

#[tokio::test]
async fn what_one_device_deletes_the_other_still_gets() {
    let server = Server::start(Options::default()).await;
    for number in 0..5 {
        server.deliver(&message(number));
    }
    let mut laptop = Client::log_in_as(&server, "tim+laptop").await;
    let ids = laptop.unique_ids().await;
    assert_eq!(delete_all(&server, "tim+phone").await, 5);
    assert_eq!(server.count(), 5);
    let mut again = Client::log_in_as(&server, "Tim+Laptop@localhost").await;
    assert_eq!(again.unique_ids().await, ids, "the same in every session");
    assert_eq!(delete_all(&server, "tim+phone").await, 0);
    assert_eq!(delete_all(&server, "tim+laptop").await, 5);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn unique_ids_are_the_same_in_every_view() {
    let server = Server::start(Options::default()).await;
    for number in 0..3 {
        server.deliver(&message(number));
    }
    let plain = Client::log_in(&server).await.unique_ids().await;
    for login in ["tim+phone", "tim+laptop", "recent:tim", "recent:tim+new"] {
        let mut client = Client::log_in_as(&server, login).await;
        assert_eq!(client.unique_ids().await, plain, "{login}");
    }
}

#[tokio::test]
async fn a_removed_devices_session_deletes_nothing() {
    let server = Server::start(Options::default()).await;
    server.deliver(&message(1));
    let mut client = Client::log_in_as(&server, "tim+phone").await;
    client.ask("DELE 1").await;
    server.directory().remove_device("tim", "phone").unwrap();
    let rest = "-ERR [SYS/PERM] this device has been removed from the mailbox\r\n";
    assert_eq!(client.ask("QUIT").await, rest);
    assert_eq!(client.rest().await, "");
    assert_eq!(server.count(), 1);
    let mut plain = Client::log_in(&server).await;
    assert_eq!(plain.unique_ids().await.len(), 1);
}

#[tokio::test]
async fn a_removed_devices_session_ends_soon_and_others_go_on() {
    let server = Server::start(Options::default()).await;
    server.deliver(&message(1));
    let mut phone = Client::log_in_as(&server, "tim+phone").await;
    let mut laptop = Client::log_in_as(&server, "tim+laptop").await;
    server.directory().remove_device("tim", "phone").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let reply = phone.ask("RETR 1").await;
    assert!(reply.starts_with("-ERR [SYS/PERM] "), "{reply}");
    assert_eq!(phone.rest().await, "");
    assert_eq!(laptop.retrieve(1).await.first(), Some(&b'S'));
    assert_eq!(laptop.ask("NOOP").await, "+OK\r\n");
}

#[tokio::test]
async fn a_window_waits_for_its_client_and_moves_on() {
    let server = Server::start(Options::default()).await;
    for number in 0..5 {
        server.deliver(&message(number));
    }
    let ids = Client::log_in(&server).await.unique_ids().await;
    drop(Client::log_in_as(&server, "tim+phone").await);
    let directory = server.directory();
    directory.set_window("tim", "phone", Some(3)).unwrap();
    let mut phone = Client::log_in_as(&server, "tim+phone").await;
    assert_eq!(phone.unique_ids().await, ids[2..]);
    assert_eq!(phone.ask("STAT").await[..6], *"+OK 3 ");
    assert_eq!(phone.ask("RETR 4").await, "-ERR no such message\r\n");
    assert!(phone.retrieve(1).await.starts_with(b"Subject: 2\r\n"));
    assert_eq!(phone.ask("QUIT").await, "+OK bye\r\n");
    for number in 5..7 {
        server.deliver(&message(number));
    }
    // It has had one of the three: only that one makes room.
    let mut phone = Client::log_in_as(&server, "tim+phone").await;
    let shown = phone.unique_ids().await;
    assert_eq!((shown.len(), &shown[..2]), (4, &ids[3..]));
    // What it deletes is hidden from it, and it is not shown what is older instead.
    phone.ask("DELE 1").await;
    for number in 2..=4 {
        phone.retrieve(number).await;
    }
    assert_eq!(phone.ask("QUIT").await, "+OK bye\r\n");
    server.deliver(&message(7));
    let mut phone = Client::log_in_as(&server, "tim+phone").await;
    let last = phone.unique_ids().await;
    assert_eq!((last.len(), &last[..2]), (3, &shown[2..]));
    assert_eq!(server.count(), 8);
}

#[tokio::test]
async fn recent_mail_is_that_of_the_last_days() {
    let server = Server::start(Options::default()).await;
    let now_ms = wall_clock_ms();
    let day_ms = 24 * 60 * 60 * 1000;
    for days in [31, 29, 0] {
        server.store.set_now(now_ms - days * day_ms);
        server.deliver(&message(days as usize));
    }
    let mut recent = Client::log_in_as(&server, "recent:tim").await;
    assert_eq!(recent.ask("STAT").await[..6], *"+OK 2 ");
    assert!(recent.retrieve(1).await.starts_with(b"Subject: 29\r\n"));
    recent.ask("DELE 1").await;
    assert_eq!(recent.ask("QUIT").await, "+OK bye\r\n");
    let mut plain = Client::log_in(&server).await;
    assert!(plain.retrieve(1).await.starts_with(b"Subject: 31\r\n"));
    assert!(plain.retrieve(2).await.starts_with(b"Subject: 0\r\n"));
}

#[tokio::test]
async fn what_a_client_said_first_is_kept_without_its_secrets() {
    let server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.line().await;
    client
        .send("CAPA\r\nAUTH PLAIN\r\nAHRpbSt4AHNlY3JldCB3b3Jkcw==\r\nNOOP\r\n")
        .await;
    while client.line().await != "+OK\r\n" {}
    let directory = server.directory();
    let mut devices = directory.devices(Some("tim")).unwrap();
    for _ in 0..100 {
        if devices[0].hello.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        devices = directory.devices(Some("tim")).unwrap();
    }
    assert_eq!(devices[0].name, "x");
    assert_eq!(devices[0].hello.as_deref(), Some("CAPA AUTH PLAIN"));
    assert_eq!(devices[0].address.as_deref(), Some("127.0.0.1"));
}
