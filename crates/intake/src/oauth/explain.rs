//! What providers' error codes mean, for who has to do something about them.

/// A code of Microsoft's and its meaning. The number stands behind `AADSTS` in the description.
const MICROSOFT: &[(u32, &str)] = &[
    (
        50011,
        "the redirection is not registered: add http://localhost under \"mobile and desktop applications\"",
    ),
    (
        50020,
        "this person has no account in that tenant: use the tenant common or consumers, or another account",
    ),
    (50034, "the tenant does not know this person"),
    (
        50055,
        "the person's password has expired and has to be changed first",
    ),
    (50057, "the person's account is disabled"),
    (
        50059,
        "the tenant cannot be told: name it, or use common or consumers",
    ),
    (50076, "a second factor is asked for: log in again"),
    (50079, "a second factor has to be set up: log in again"),
    (
        50105,
        "an administrator has not assigned this person to the application",
    ),
    (
        50132,
        "the session was ended, as a new password does: log in again",
    ),
    (
        50173,
        "the password was changed or access was taken back: log in again",
    ),
    (
        50194,
        "the application belongs to one tenant: name that tenant instead of common, or allow others in its settings",
    ),
    (53000, "the organisation's rules do not let this device in"),
    (
        53003,
        "the organisation's rules (conditional access) do not allow this access",
    ),
    (
        65001,
        "this person, or an administrator, has not consented to the application yet",
    ),
    (65004, "the person did not consent"),
    (
        70_000,
        "the grant is of no use any more, or its scopes have changed: log in again",
    ),
    (70008, "the grant has expired: log in again"),
    (70011, "a scope is not one that the provider knows"),
    (70019, "the code was typed in too late"),
    (90002, "there is no such tenant"),
    (90094, "an administrator has to consent to this application"),
    (500_113, "no redirection is registered for the application"),
    (
        700_016,
        "the tenant does not know this client id: check both, or use the tenant common or consumers",
    ),
    (
        700_025,
        "the application is a public client: leave the client secret out",
    ),
    (
        700_082,
        "the grant has expired because it was not used for long: log in again",
    ),
    (7_000_215, "the client secret is wrong"),
    (7_000_222, "the client secret has expired"),
    (
        7_000_218,
        "the application does not allow public clients: switch on \"allow public client flows\" in its settings",
    ),
    (
        9_002_346,
        "the application is for personal accounts only: use the tenant consumers",
    ),
];

/// What an error means, if it is known. `description` is the provider's own text.
pub(super) fn explain(code: &str, description: &str, provider: &str) -> Option<&'static str> {
    let microsoft = microsoft_number(description).and_then(|number| {
        let found = MICROSOFT.iter().find(|&&(known, _)| known == number);
        found.map(|&(_, meaning)| meaning)
    });
    if microsoft.is_some() {
        return microsoft;
    }
    let google = provider == "oauth2.googleapis.com";
    Some(match code {
        "invalid_grant" if google => {
            "Google takes this grant no more: it was revoked, the password was changed, it was not used \
             for six months, or the application is still unpublished (\"testing\"), where grants end after \
             7 days: publish it on Google's consent screen"
        }
        "invalid_grant" => {
            "the grant was revoked, has expired or was used before; a new password may end it too"
        }
        "invalid_client" if google => {
            "Google does not know the client id, or its secret is wrong or missing: a \"desktop app\" has both"
        }
        "invalid_client" => "the client id is unknown, or its secret is wrong or missing",
        "unauthorized_client" => {
            "this client may not log in this way: allow the flow where the client is registered"
        }
        "access_denied" | "authorization_declined" => "access was refused in the browser",
        "unsupported_grant_type" => "the provider has not got this way to log in",
        "unsupported_response_type" => {
            "the provider has no login by authorization code for this client"
        }
        "invalid_scope" => {
            "the provider does not know a scope, or does not let this client ask for it"
        }
        "redirect_uri_mismatch" => {
            "the redirection is not the one registered for this client: register a desktop app"
        }
        "admin_policy_enforced" => {
            "the organisation's administrator does not allow this application"
        }
        "org_internal" => "the application is for members of its own organisation only",
        "interaction_required" | "login_required" | "consent_required" => {
            "the person has to log in again in a browser"
        }
        "temporarily_unavailable" | "server_error" => "the provider is unwell",
        _ => return None,
    })
}

/// The digits behind `AADSTS`.
fn microsoft_number(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    rest[..digits.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_microsoft_are_found_in_their_text() {
        let text =
            "AADSTS7000218: The request body must contain the following parameter\r\nTrace ID: 1";
        assert_eq!(microsoft_number(text), Some(7_000_218));
        assert_eq!(microsoft_number("AADSTS700082"), Some(700_082));
        assert_eq!(microsoft_number("AADSTS: none"), None);
        assert_eq!(microsoft_number("AADSTS99999999999999"), None);
        let meaning = explain("invalid_client", text, "login.microsoftonline.com").unwrap();
        assert!(meaning.contains("public client"), "{meaning}");
    }

    #[test]
    fn googles_week_is_named_for_google_only() {
        let said = |provider| explain("invalid_grant", "Bad Request", provider).unwrap();
        assert!(said("oauth2.googleapis.com").contains("7 days"));
        assert!(!said("login.example").contains("7 days"));
        assert_eq!(explain("something_new", "", "login.example"), None);
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut numbers: Vec<u32> = MICROSOFT.iter().map(|&(number, _)| number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), MICROSOFT.len());
    }
}
