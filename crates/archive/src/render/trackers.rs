//! Hosts that count who opens which mail. By the end of the host's name, and what its path begins with or holds.

/// Host, part of the path (empty: any), who it is.
const KNOWN: &[(&str, &str, &str)] = &[
    ("list-manage.com", "/track/open", "Mailchimp"),
    ("mandrillapp.com", "/track/open", "Mandrill"),
    ("sendgrid.net", "/wf/open", "SendGrid"),
    ("sendgrid.com", "/wf/open", "SendGrid"),
    ("hubspotemail.net", "", "HubSpot"),
    ("hubspot.com", "/e2t/", "HubSpot"),
    ("hs-analytics.net", "", "HubSpot"),
    ("google-analytics.com", "", "Google Analytics"),
    ("doubleclick.net", "", "Google DoubleClick"),
    ("facebook.com", "/tr", "Meta"),
    ("facebook.com", "/email_open_log_pic", "Meta"),
    ("linkedin.com", "/emimp/", "LinkedIn"),
    ("mixpanel.com", "/track", "Mixpanel"),
    ("customeriomail.com", "/e/o", "Customer.io"),
    ("customer.io", "/e/o", "Customer.io"),
    ("mailgun.org", "/o/", "Mailgun"),
    ("mailjet.com", "/oo/", "Mailjet"),
    ("mjt.lu", "/oo/", "Mailjet"),
    ("sparkpostmail.com", "/q/", "SparkPost"),
    ("postmarkapp.com", "/open", "Postmark"),
    ("pstmrk.it", "/open", "Postmark"),
    ("sendinblue.com", "/tr/op", "Brevo"),
    ("sendibt3.com", "/tr/op", "Brevo"),
    ("brevo.com", "/tr/op", "Brevo"),
    ("klaviyomail.com", "/o/", "Klaviyo"),
    ("klclick.com", "", "Klaviyo"),
    ("exct.net", "/open.aspx", "Salesforce Marketing Cloud"),
    (
        "exacttarget.com",
        "/open.aspx",
        "Salesforce Marketing Cloud",
    ),
    ("pardot.com", "", "Salesforce Pardot"),
    ("mktotracking.com", "", "Marketo"),
    ("mkto-sj.com", "", "Marketo"),
    ("eloqua.com", "/e/f2", "Oracle Eloqua"),
    ("responsys.net", "", "Oracle Responsys"),
    ("awstrack.me", "", "Amazon SES"),
    ("convertkit-mail.com", "/o/", "Kit"),
    ("convertkit-mail2.com", "", "Kit"),
    ("getdrip.com", "/o/", "Drip"),
    ("intercom-mail.com", "", "Intercom"),
    ("mailtrack.io", "/trace", "Mailtrack"),
    ("yesware.com", "", "Yesware"),
    ("bananatag.com", "", "Staffbase"),
    ("streak.com", "", "Streak"),
    ("superhuman.com", "", "Superhuman"),
    ("substack.com", "/o/", "Substack"),
    ("cmail19.com", "/t/", "Campaign Monitor"),
    ("cmail20.com", "/t/", "Campaign Monitor"),
    ("createsend.com", "/t/", "Campaign Monitor"),
    ("constantcontact.com", "/1/", "Constant Contact"),
    ("rs6.net", "/on.jsp", "Constant Contact"),
    ("litmus.com", "", "Litmus"),
    ("emltrk.com", "", "Litmus"),
    ("returnpath.net", "", "Validity"),
    ("emarsys.net", "", "Emarsys"),
    ("braze.com", "", "Braze"),
    ("iterable.com", "", "Iterable"),
    ("sailthru.com", "", "Sailthru"),
    ("inxmail.com", "", "Inxmail"),
    ("optivo.com", "", "Optivo"),
    ("cleverreach.com", "/o/", "CleverReach"),
    ("rapidmail.com", "/o/", "rapidmail"),
    ("episerver.net", "/go/", "Episerver"),
];

/// Who counts there.
pub(super) fn service(host: &str, path: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    let path = path.to_ascii_lowercase();
    KNOWN
        .iter()
        .find(|(known, part, _)| {
            let rest = host.strip_suffix(known);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && path.contains(part)
        })
        .map(|(_, _, service)| *service)
}
