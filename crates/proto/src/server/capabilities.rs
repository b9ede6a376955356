//! What CAPA tells.

use super::Settings;
use crate::{dot, reply, sasl};

/// What RFC 2449 §5 asks for, in AUTHORIZATION and TRANSACTION: only what is there. APOP has no
/// tag; LOGIN-DELAY is absent as there is none.
///
/// - RFC 2449 §6.2 USER and RFC 5034 §3 SASL: only where a password may be sent; SASL stays after the
///   login, as RFC 5034 §3 demands.
/// - RFC 2449 §6.7 EXPIRE NEVER: nothing leaves a maildrop by age.
/// - RFC 2595 §4 STLS: only where the command is permitted in the current state.
/// - RFC 3206 §6 AUTH-RESP-CODE: wrong credentials, and they alone, get `[AUTH]`.
/// - RFC 2449 §6.9 IMPLEMENTATION: without a version, which helps an attacker more than a client.
pub(super) fn write(settings: Settings, in_authorization: bool, out: &mut Vec<u8>) {
    reply::line(out, "+OK capability list follows");
    reply::line(out, "TOP");
    reply::line(out, "UIDL");
    reply::line(out, "RESP-CODES");
    reply::line(out, "AUTH-RESP-CODE");
    reply::line(out, "PIPELINING");
    reply::line(out, "EXPIRE NEVER");
    if settings.login_allowed() {
        reply::line(out, "USER");
        out.extend_from_slice(b"SASL ");
        reply::line(out, sasl::MECHANISMS);
    }
    if in_authorization && settings.stls_offered() {
        reply::line(out, "STLS");
    }
    reply::line(out, "IMPLEMENTATION Restante");
    out.extend_from_slice(dot::TERMINATOR);
}
