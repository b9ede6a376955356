//! What a DKIM signature says that it covers (RFC 6376 §3.5). Whether it is right is not looked at: that takes the DNS, and is the
//! receiving server's to do.

/// RFC 8058 §4: the fields that one signature must cover, or one-click is to be ignored.
const ONE_CLICK: [&str; 2] = ["list-unsubscribe", "list-unsubscribe-post"];

/// A tag of a signature (RFC 6376 §3.2), in lower case and without white space.
pub fn tag(signature: &str, name: &str) -> Option<String> {
    signature.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
        (key.trim() == name).then(|| value.to_ascii_lowercase())
    })
}

/// Whether a signature covers what RFC 8058 §4 demands: List-Unsubscribe and List-Unsubscribe-Post.
pub fn covers_one_click(signature: &str) -> bool {
    let signed = tag(signature, "h").unwrap_or_default();
    let mut wanted = ONE_CLICK.iter();
    wanted.all(|name| signed.split(':').any(|signed| signed == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fields_are_covered_by_one_signature_or_not() {
        for (signature, covers) in [
            (
                "v=1; h=From:List-Unsubscribe:List-Unsubscribe-Post; b=x",
                true,
            ),
            (
                "v=1; h = from : list-unsubscribe-post :\r\n\tlist-unsubscribe ; b=x",
                true,
            ),
            (
                "v=1; h=from:list-unsubscribe; b=list-unsubscribe-post",
                false,
            ),
            ("v=1; h=from:list-unsubscribe-post", false),
            ("v=1; bh=list-unsubscribe:list-unsubscribe-post", false),
            ("", false),
        ] {
            assert_eq!(covers_one_click(signature), covers, "{signature}");
        }
    }
}
