//! `restante config dns`: the records by which mail programs set themselves up.

use restante_access::setup::{Data, Record, records};
use serde_json::json;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;

/// Prints the records of every domain, as lines of a zone file.
pub(super) fn print(config: &Config, out: &Output) -> Result<(), Failure> {
    let Some(setup) = config.setup() else {
        return Err(Failure::Config(
            "which records are right depends on the name that clients use: put host = \"mail.example.org\" into [setup], and the domains at the top, then try again".to_owned(),
        ));
    };
    for domain in config.domains() {
        out.people(&format!(
            "; {domain}: certificates for {} and autoconfig.{domain} are needed",
            setup.settings.host
        ))?;
        for record in records(&setup.settings, domain) {
            out.line(&value(domain, &record), &record.to_string())?;
        }
    }
    Ok(())
}

fn value(domain: &str, record: &Record) -> serde_json::Value {
    let mut value = json!({
        "domain": domain,
        "name": record.name,
        "ttl": record.ttl_seconds(),
    });
    match &record.data {
        Data::Srv {
            priority,
            weight,
            port,
            target,
        } => {
            value["type"] = json!("SRV");
            value["priority"] = json!(priority);
            value["weight"] = json!(weight);
            value["port"] = json!(port);
            value["target"] = json!(target);
        }
        Data::Cname(target) => {
            value["type"] = json!("CNAME");
            value["target"] = json!(target);
        }
    }
    value
}
