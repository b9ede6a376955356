use super::*;

#[test]
fn the_file_parses() {
    let file: File = toml::from_str(FILE).unwrap();
    assert!(file.providers.len() > 30);
}

#[test]
fn every_entry_is_complete() {
    for provider in all() {
        let name = &provider.name;
        assert!(
            !provider.domains.is_empty() || !provider.mx.is_empty(),
            "{name} is never found"
        );
        for domain in provider.domains.iter().chain(&provider.mx) {
            assert_eq!(*domain, lower(domain), "{name}");
            assert!(domain.contains('.'), "{name}: {domain}");
        }
        let Some(pop3) = &provider.pop3 else {
            assert!(provider.instead.is_some(), "{name}: what instead?");
            continue;
        };
        assert!(provider.instead.is_none(), "{name}");
        assert_eq!(pop3.port, 995, "{name}: TLS from the first byte");
        for host in std::iter::once(&pop3.host).chain(&pop3.aliases) {
            assert_eq!(*host, lower(host), "{name}");
            assert!(host.contains('.'), "{name}: {host}");
        }
        for text in [
            &pop3.enable,
            &pop3.login,
            &pop3.after_retr,
            &pop3.misses,
            &pop3.rest,
        ] {
            assert!(text.len() > 10 && text.ends_with('.'), "{name}: {text}");
        }
        for url in pop3.login_url.iter().chain(&pop3.help_url) {
            assert!(url.starts_with("https://"), "{name}: {url}");
        }
        assert_eq!(
            pop3.password == PasswordKind::OAuth2,
            pop3.oauth2 == Some(OAuth2::Microsoft),
            "{name}"
        );
        if matches!(
            pop3.password,
            PasswordKind::App | PasswordKind::Mail | PasswordKind::OAuth2
        ) {
            assert!(
                provider.refused.is_some(),
                "{name}: the account's password is refused; say so"
            );
        }
    }
}

#[test]
fn errors_are_written_so_that_they_can_be_found() {
    let own = all().iter().flat_map(|provider| &provider.errors);
    for known in own.chain(&KNOWN.file.errors) {
        assert_eq!(known.contains, known.contains.to_ascii_lowercase());
        assert!(known.contains.len() > 3 && known.means.ends_with('.'));
    }
}

#[test]
fn no_domain_and_no_exchanger_has_two_providers() {
    let mut seen = std::collections::HashSet::new();
    for provider in all() {
        for domain in &provider.domains {
            assert!(seen.insert(("domain", domain)), "{domain}");
        }
        for mx in &provider.mx {
            assert!(seen.insert(("mx", mx)), "{mx}");
        }
    }
}

#[test]
fn providers_are_found_by_domain_exchanger_and_host() {
    let name = |provider: Option<&'static Provider>| provider.map(|p| p.name.as_str());
    assert_eq!(name(by_domain("gmail.com")), Some("Gmail"));
    assert_eq!(name(by_domain("GoogleMail.com.")), Some("Gmail"));
    assert_eq!(name(by_domain("example.org")), None);
    assert_eq!(name(by_mx("ASPMX.L.GOOGLE.COM.")), Some("Gmail"));
    assert_eq!(name(by_mx("notgoogle.com")), None);
    assert_eq!(
        name(by_mx("example-org.mail.protection.outlook.com")),
        Some("Microsoft 365")
    );
    assert_eq!(
        name(by_mx("outlook-com.olc.protection.outlook.com")),
        Some("Outlook.com")
    );
    assert_eq!(
        name(by_mx("mx-aol.mail.gm0.yahoodns.net")),
        Some("AOL Mail"),
        "the longest ending counts"
    );
    assert_eq!(name(by_mx("mta5.am0.yahoodns.net")), Some("Yahoo Mail"));
    assert_eq!(name(by_mx("mx01.mail.icloud.com")), Some("iCloud Mail"));
    assert_eq!(name(by_host("pop.googlemail.com")), Some("Gmail"));
    assert_eq!(name(by_host("POP.GMX.NET")), Some("GMX"));
    assert_eq!(name(by_host("localhost")), None);
}

#[test]
fn user_names_are_made_of_the_address() {
    assert_eq!(UserName::Address.of("ann@web.de"), "ann@web.de");
    assert_eq!(UserName::LocalPart.of("ann@web.de"), "ann");
    assert_eq!(UserName::LocalPart.of("\"a@b\"@web.de"), "\"a@b\"");
    assert_eq!(UserName::LocalPart.of("ann"), "ann");
}

/// Errors as servers have been seen to send them.
#[test]
fn errors_are_explained() {
    let says = |host, error, part: &str| {
        let means = explain(host, error).unwrap_or_else(|| panic!("{error}"));
        assert!(means.contains(part), "{error}: {means}");
    };
    says(
        "pop.gmail.com",
        "[SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.",
        "Forwarding and POP/IMAP",
    );
    says(
        "pop.gmail.com",
        "[AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833",
        "apppasswords",
    );
    says(
        "pop.gmail.com",
        "[AUTH] Web login required: https://support.google.com/mail/answer/78754",
        "browser",
    );
    says(
        "pop.gmail.com",
        "[AUTH] Username and password not accepted.",
        "app password",
    );
    says(
        "outlook.office365.com",
        "Logon failure: unknown user name or bad password.",
        "OAuth2",
    );
    says(
        "pop.mail.yahoo.com",
        "[AUTH] (#AUTH012) Incorrect",
        "app password",
    );
    says("pop.gmx.net", "[LOGIN-DELAY] wait", "more time");
    says(
        "pop3.example.org",
        "[IN-USE] Do you have another?",
        "Another",
    );
    says("pop3.example.org", "[SYS/TEMP] try later", "will pass");
    says("pop3.example.org", "[AUTH] no", "whole address");
    says(
        "pop3.example.org",
        "[AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.",
        "over TLS",
    );
    assert_eq!(explain("pop3.example.org", "no such message"), None);
    assert!(refused("securepop.t-online.de").contains("e-mail programs"));
    assert!(refused("pop3.example.org").contains("whole address"));
}
