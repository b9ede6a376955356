//! The query language: whatever is typed is understood or refused with a place that is there.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use proptest::prelude::*;
use restante_archive::{Query, limits};

fn wrong(query: &str) -> (usize, usize, String) {
    let error = Query::parse(query).unwrap_err();
    (error.at, error.length, error.what)
}

#[test]
fn a_wrong_query_says_where_and_what_would_be_right() {
    for (query, at, length, says) in [
        ("a (b", 2, 1, "not closed"),
        ("a) b", 1, 1, "closes nothing"),
        ("()", 0, 1, "nothing between"),
        ("a AND", 5, 0, "should follow"),
        ("OR b", 0, 2, "operator"),
        ("a \"b c", 2, 4, "no end"),
        ("ü from:", 2, 5, "needs a value"),
        ("from: ann", 0, 5, "needs a value"),
        ("form:ann", 0, 5, "from, to, subject"),
        ("is:green", 3, 5, "unread"),
        ("has:legs", 4, 4, "attachment"),
        ("larger:big", 7, 3, "1M"),
        ("date:2024-13", 5, 7, "2024-05"),
        ("id:xyz", 3, 3, "id"),
        ("NOT", 3, 0, "should follow"),
        ("---", 0, 3, "letter"),
        ("subject:(a b)", 8, 1, "OR subject:b"),
        ("label:wor*", 6, 4, "whole label"),
        ("account:gm*", 8, 3, "whole value"),
        ("account:*", 8, 1, "whole value"),
        ("is:read*", 3, 5, "whole value"),
        ("larger:1M*", 7, 3, "whole value"),
        ("date:2024*", 5, 5, "whole value"),
        ("raz*r", 3, 1, "end of a word"),
        ("a *azor", 2, 1, "end of a word"),
        ("a r*z*", 3, 1, "end of a word"),
        ("raz**", 3, 1, "end of a word"),
        ("ü \"big raz*\"", 10, 1, "not in quotes"),
        ("subject:raz*r", 11, 1, "end of a word"),
        ("filename:*.pdf", 9, 1, "end of a word"),
        ("date:2002-09..2002-08", 5, 16, "earlier date first"),
        ("date:today..yesterday", 5, 16, "earlier date first"),
    ] {
        let (found_at, found_length, what) = wrong(query);
        assert_eq!((found_at, found_length), (at, length), "{query}: {what}");
        assert!(what.contains(says), "{query}: {what}");
    }
}

#[test]
fn operators_bind_as_the_grammar_says() {
    let same = |a: &str, b: &str| {
        assert_eq!(
            Query::parse(a).unwrap(),
            Query::parse(b).unwrap(),
            "{a} = {b}"
        );
    };
    same("a b OR c d", "(a AND b) OR (c AND d)");
    same("NOT a b", "(NOT a) AND b");
    same("-a b", "NOT a AND b");
    same("is:unread", "NOT is:read");
    same("FROM:ann", "from:ann");
    assert_ne!(
        Query::parse("a or b").unwrap(),
        Query::parse("a OR b").unwrap()
    );
    for begins in [
        "label:*",
        "list:*",
        "from:an*",
        "filename:inv*",
        "inv*",
        "\"5 * 3\"",
        "label:\"a*b\"",
        "date:2024..2024",
    ] {
        assert!(Query::parse(begins).is_ok(), "{begins}");
    }
    assert!(Query::parse(" ").unwrap().is_everything());
}

#[test]
fn a_query_is_bounded() {
    let deep = format!(
        "{}a{}",
        "(".repeat(limits::QUERY_DEPTH + 1),
        ")".repeat(limits::QUERY_DEPTH + 1)
    );
    assert!(wrong(&deep).2.contains("nested"));
    assert!(
        wrong(&"NOT ".repeat(limits::QUERY_DEPTH + 1))
            .2
            .contains("nested")
    );
    assert!(
        wrong(&"a ".repeat(limits::QUERY_TERMS + 1))
            .2
            .contains("at most")
    );
    assert!(
        wrong(&"a".repeat(limits::QUERY_CHARACTERS + 1))
            .2
            .contains("characters")
    );
}

proptest! {
    #[test]
    fn whatever_is_typed_is_understood_or_refused_where_it_is_wrong(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("(".to_owned()), Just(")".to_owned()), Just("AND".to_owned()), Just("OR".to_owned()),
                Just("NOT ".to_owned()), Just("-".to_owned()), Just("\"".to_owned()), Just("*".to_owned()),
                Just(" ".to_owned()), Just("from:".to_owned()), Just("is:unread".to_owned()),
                Just("date:".to_owned()), Just("2024-02-30".to_owned()), Just("larger:9999999999G".to_owned()),
                Just("thread:".to_owned()), Just("label:*".to_owned()), ".{0,6}", "[a-zé]{1,5}",
            ],
            0..12,
        )
    ) {
        let text: String = pieces.concat();
        if let Err(error) = Query::parse(&text) {
            let length = text.chars().count();
            prop_assert!(error.at + error.length <= length, "{text:?}: {error:?}");
            prop_assert!(!error.what.is_empty());
        }
    }
}
