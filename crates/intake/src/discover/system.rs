//! The real world: the system's resolver, HTTPS, and POP3 servers.

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use restante_client::Server;

use super::limits::{FILE_OCTETS, HTTP_WAIT, LOOKUP_WAIT, PROBE_WAIT, REDIRECTS};
use super::{Answer, Net, Srv};

/// Asks the system's resolver, and the servers themselves.
pub struct System {
    resolver: Option<TokioResolver>,
    http: Option<reqwest::Client>,
}

impl System {
    /// Reads the system's configuration. What cannot be had has no answers.
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().ok().and_then(|mut builder| {
            let options = builder.options_mut();
            options.attempts = 1;
            options.timeout = LOOKUP_WAIT / 2;
            builder.build().ok()
        });
        let http = reqwest::Client::builder()
            .https_only(true)
            .timeout(HTTP_WAIT)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS))
            .referer(false)
            .build()
            .ok();
        Self { resolver, http }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Net for System {
    fn srv<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>> {
        Box::pin(async move {
            let Some(resolver) = &self.resolver else {
                return Vec::new();
            };
            let Ok(found) = resolver.srv_lookup(name).await else {
                return Vec::new();
            };
            let records = found.answers().iter().filter_map(|record| {
                let RData::SRV(srv) = &record.data else {
                    return None;
                };
                Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii(),
                })
            });
            records.collect()
        })
    }

    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let Some(resolver) = &self.resolver else {
                return Vec::new();
            };
            let Ok(found) = resolver.mx_lookup(format!("{domain}.")).await else {
                return Vec::new();
            };
            let mut hosts: Vec<_> = found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_ascii())),
                    _ => None,
                })
                .collect();
            hosts.sort();
            hosts.into_iter().map(|(_, host)| host).collect()
        })
    }

    fn get<'a>(&'a self, url: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let mut response = self.http.as_ref()?.get(url).send().await.ok()?;
            if response.status() != reqwest::StatusCode::OK {
                return None;
            }
            let mut file = Vec::new();
            while let Some(part) = response.chunk().await.ok()? {
                if file.len() + part.len() > FILE_OCTETS {
                    return None;
                }
                file.extend_from_slice(&part);
            }
            Some(file)
        })
    }

    fn greets<'a>(&'a self, server: &'a Server) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut server = server.clone();
            server.timeout = PROBE_WAIT;
            match restante_client::connect(&server).await {
                Ok(connection) => {
                    // Whether it says goodbye too is of no interest.
                    let _goodbye = connection.quit().await;
                    true
                }
                Err(_) => false,
            }
        })
    }
}
