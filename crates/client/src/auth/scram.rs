//! SCRAM (RFC 5802, RFC 7677), the client's side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::exchange::{ExchangeError, escaped};
use crate::limits::{SCRAM_MAX_ITERATIONS, SCRAM_MIN_ITERATIONS};

/// Octets of randomness in a nonce.
const NONCE_OCTETS: usize = 24;

/// The hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

type Key = Zeroizing<Vec<u8>>;

/// What is said about channel bindings (RFC 5802 §6, gs2-cbind-flag).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Binding {
    /// `n`: this connection has none, or the mechanism without one was asked for.
    None,
    /// `y`: this side could, the server did not offer it. A server that did offer it sees by this that
    /// somebody took it out of the list.
    NotOffered,
    /// `p=tls-exporter`: the connection's value by RFC 9266.
    Exporter([u8; 32]),
}

impl Binding {
    /// ```text
    /// gs2-header = gs2-cbind-flag "," [ authzid ] ","
    /// ```
    const fn header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::NotOffered => "y,,",
            Self::Exporter(_) => "p=tls-exporter,,",
        }
    }

    const fn data(&self) -> &[u8] {
        match self {
            Self::Exporter(value) => value,
            Self::None | Self::NotOffered => &[],
        }
    }
}

/// One exchange, from its first message to the server's proof.
pub(super) struct Scram {
    hash: Hash,
    binding: Binding,
    password: Zeroizing<String>,
    nonce: String,
    /// client-first-message-bare
    first: String,
    step: Step,
}

enum Step {
    First,
    Final,
    /// What the server's signature must be made with: ServerKey and AuthMessage.
    Proof {
        key: Key,
        message: String,
    },
    Proven,
    Failed,
}

/// SASLprep (RFC 4013). None for what it forbids: then SCRAM cannot be had for this login.
pub(super) fn prepared(text: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(text).ok()?;
    let prepared = stringprep::saslprep(text).ok()?;
    (!prepared.is_empty()).then(|| Zeroizing::new(prepared.into_owned()))
}

impl Scram {
    /// With a fresh nonce. User and password are as [`prepared`] gave them.
    pub(super) fn new(
        hash: Hash,
        binding: Binding,
        user: &str,
        password: Zeroizing<String>,
    ) -> Result<Self, ExchangeError> {
        let mut bytes = [0; NONCE_OCTETS];
        getrandom::fill(&mut bytes).map_err(|_| ExchangeError::Random)?;
        Ok(Self::with_nonce(
            hash,
            binding,
            user,
            password,
            STANDARD.encode(bytes),
        ))
    }

    fn with_nonce(
        hash: Hash,
        binding: Binding,
        user: &str,
        password: Zeroizing<String>,
        nonce: String,
    ) -> Self {
        let first = format!("n={},r={nonce}", escaped(user));
        Self {
            hash,
            binding,
            password,
            nonce,
            first,
            step: Step::First,
        }
    }

    /// Whether the server has proved that it knows the password.
    pub(super) const fn is_proven(&self) -> bool {
        matches!(self.step, Step::Proven)
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        match std::mem::replace(&mut self.step, Step::Failed) {
            // RFC 5034 §4: without an initial response the server's first challenge is empty; some
            // write something into it.
            Step::First => {
                self.step = Step::Final;
                Ok(format!("{}{}", self.binding.header(), self.first).into_bytes())
            }
            Step::Final => self.client_final(challenge),
            Step::Proof { key, message } => {
                self.check(challenge, &key, &message)?;
                self.step = Step::Proven;
                Ok(Vec::new())
            }
            Step::Proven | Step::Failed => {
                Err(ExchangeError::Malformed("a challenge after the last one"))
            }
        }
    }

    /// ```text
    /// server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]
    /// client-final-message = channel-binding "," nonce ["," extensions] "," proof
    /// ```
    fn client_final(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        let text = std::str::from_utf8(challenge)
            .map_err(|_| ExchangeError::Malformed("SCRAM's message is not UTF-8"))?;
        if let Some(reason) = text.strip_prefix("e=") {
            return Err(refused(reason));
        }
        let ServerFirst {
            nonce,
            salt,
            iterations,
        } = ServerFirst::parse(text)?;
        // RFC 5802 §5.1 r: ours, then the server's part, which must not be empty.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ExchangeError::Malformed("the nonce is not ours"));
        }
        let mut bound = self.binding.header().as_bytes().to_vec();
        bound.extend_from_slice(self.binding.data());
        let bare = format!("c={},r={nonce}", STANDARD.encode(bound));
        let message = format!("{},{text},{bare}", self.first);
        let (proof, key) = match self.hash {
            Hash::Sha1 => proof::<Sha1>(&self.password, &salt, iterations, &message),
            Hash::Sha256 => proof::<Sha256>(&self.password, &salt, iterations, &message),
        }?;
        self.step = Step::Proof { key, message };
        Ok(format!("{bare},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// ```text
    /// server-final-message = (server-error / verifier) ["," extensions]
    /// ```
    fn check(&self, challenge: &[u8], key: &[u8], message: &str) -> Result<(), ExchangeError> {
        let text = std::str::from_utf8(challenge)
            .map_err(|_| ExchangeError::Malformed("SCRAM's message is not UTF-8"))?;
        let first = text.split(',').next().unwrap_or_default();
        if let Some(reason) = first.strip_prefix("e=") {
            return Err(refused(reason));
        }
        let signature = first
            .strip_prefix("v=")
            .and_then(|value| STANDARD.decode(value).ok())
            .ok_or(ExchangeError::Malformed(
                "SCRAM's last message has no signature",
            ))?;
        // In constant time.
        let same = match self.hash {
            Hash::Sha1 => keyed::<Sha1>(key, message.as_bytes())?.verify_slice(&signature),
            Hash::Sha256 => keyed::<Sha256>(key, message.as_bytes())?.verify_slice(&signature),
        };
        same.map_err(|_| ExchangeError::Unproven)
    }
}

fn refused(reason: &str) -> ExchangeError {
    ExchangeError::Refused(
        reason
            .chars()
            .filter(|c| c.is_ascii_graphic())
            .take(64)
            .collect(),
    )
}

struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn parse(text: &'a str) -> Result<Self, ExchangeError> {
        let malformed = ExchangeError::Malformed;
        let mut fields = text.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name));
        // A mandatory extension (`m=`) that we do not know stands before the nonce and fails here.
        let nonce = field("r=").ok_or(malformed("SCRAM's first message has no nonce"))?;
        if !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed("the nonce is not printable"));
        }
        let salt = field("s=")
            .and_then(|salt| STANDARD.decode(salt).ok())
            .filter(|salt| !salt.is_empty())
            .ok_or(malformed("SCRAM's first message has no salt"))?;
        let count = field("i=").ok_or(malformed("SCRAM's first message has no iteration count"))?;
        // posit-number: no sign, no leading zero.
        if count.is_empty() || count.starts_with('0') || !count.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(malformed("SCRAM's iteration count is not a number"));
        }
        let count = count.parse::<u64>().unwrap_or(u64::MAX);
        let iterations = u32::try_from(count)
            .ok()
            .filter(|count| (SCRAM_MIN_ITERATIONS..=SCRAM_MAX_ITERATIONS).contains(count))
            .ok_or(ExchangeError::Iterations(count))?;
        Ok(Self {
            nonce,
            salt,
            iterations,
        })
    }
}

fn keyed<D: EagerHash>(key: &[u8], message: &[u8]) -> Result<Hmac<D>, ExchangeError>
where
    Hmac<D>: Mac + KeyInit,
{
    let mut mac = <Hmac<D> as KeyInit>::new_from_slice(key)
        .map_err(|_impossible| ExchangeError::Malformed("a key that HMAC does not take"))?;
    mac.update(message);
    Ok(mac)
}

/// ```text
/// Hi(str, salt, i): U1 := HMAC(str, salt + INT(1)); Un := HMAC(str, Un-1); U1 XOR … XOR Ui   ; RFC 5802 §2.2
/// ```
fn hi<D: EagerHash>(password: &str, salt: &[u8], iterations: u32) -> Result<Key, ExchangeError>
where
    Hmac<D>: Mac + KeyInit + Clone,
{
    let key = keyed::<D>(password.as_bytes(), b"")?;
    let mut first = key.clone();
    first.update(salt);
    first.update(&1u32.to_be_bytes());
    let mut u = first.finalize().into_bytes();
    let mut result = Zeroizing::new(u.to_vec());
    for _ in 1..iterations {
        let mut next = key.clone();
        next.update(&u);
        u = next.finalize().into_bytes();
        result.iter_mut().zip(&u).for_each(|(r, u)| *r ^= u);
    }
    Ok(result)
}

/// ClientProof, and ServerKey to check the server's signature with (RFC 5802 §3).
fn proof<D: EagerHash + Digest>(
    password: &str,
    salt: &[u8],
    iterations: u32,
    message: &str,
) -> Result<(Key, Key), ExchangeError>
where
    Hmac<D>: Mac + KeyInit + Clone,
{
    let salted = hi::<D>(password, salt, iterations)?;
    let client = keyed::<D>(&salted, b"Client Key")?.finalize().into_bytes();
    let stored = D::digest(&client);
    let signature = keyed::<D>(&stored, message.as_bytes())?
        .finalize()
        .into_bytes();
    let proof = client.iter().zip(&signature).map(|(c, s)| c ^ s).collect();
    let server = keyed::<D>(&salted, b"Server Key")?.finalize().into_bytes();
    Ok((Zeroizing::new(proof), Zeroizing::new(server.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scram(hash: Hash, binding: Binding, nonce: &str) -> Scram {
        Scram::with_nonce(
            hash,
            binding,
            "user",
            prepared(b"pencil").unwrap(),
            nonce.into(),
        )
    }

    fn step(scram: &mut Scram, challenge: &str) -> Result<String, ExchangeError> {
        scram
            .respond(challenge.as_bytes())
            .map(|answer| String::from_utf8(answer).unwrap())
    }

    #[test]
    fn as_in_rfc_5802() {
        // RFC 5802 §5
        let mut s = scram(Hash::Sha1, Binding::None, "fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(
            step(&mut s, "").unwrap(),
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
        );
        assert_eq!(
            step(
                &mut s,
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
            )
            .unwrap(),
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert!(!s.is_proven());
        assert_eq!(step(&mut s, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").unwrap(), "");
        assert!(s.is_proven());
        assert!(step(&mut s, "").is_err());
    }

    const R: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn as_in_rfc_7677() {
        // RFC 7677 §3
        let mut s = scram(Hash::Sha256, Binding::None, R);
        assert_eq!(
            step(&mut s, "").unwrap(),
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
        );
        assert_eq!(
            step(&mut s, FIRST).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(
            step(&mut s, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap(),
            ""
        );
        assert!(s.is_proven());
    }

    #[test]
    fn a_server_that_proves_nothing_is_not_believed() {
        let mut s = scram(Hash::Sha256, Binding::None, R);
        step(&mut s, "").unwrap();
        step(&mut s, FIRST).unwrap();
        assert_eq!(
            step(&mut s, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
            Err(ExchangeError::Unproven)
        );
        assert!(!s.is_proven() && step(&mut s, "").is_err());
        for last in [
            "",
            "v=",
            "v=!",
            "x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ] {
            let mut s = scram(Hash::Sha256, Binding::None, R);
            step(&mut s, "").unwrap();
            step(&mut s, FIRST).unwrap();
            assert!(step(&mut s, last).is_err(), "{last}");
            assert!(!s.is_proven());
        }
    }

    #[test]
    fn a_servers_first_message_is_held_to_the_grammar() {
        for first in [
            "",
            // RFC 5802 §5.1: an unknown mandatory extension must fail.
            "m=x,r=rOprNGfwEbeRWgbNEkqOserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            // another's nonce, and one without the server's part
            "r=ROprNGfwEbeRWgbNEkqOserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOserver,s=,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOserver,s=*,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOserver,i=4096,s=W22ZaJ0SNY7soEsUEjb6gQ==",
            "r=rOprNGfwEbeRWgbNEkqOserver,s=W22ZaJ0SNY7soEsUEjb6gQ==",
            "r=rOprNGfwEbeRWgbNEkqOserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=+4096",
            "r=rOprNGfwEbeRWgbNEkqOserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=",
        ] {
            let mut s = scram(Hash::Sha256, Binding::None, R);
            step(&mut s, "").unwrap();
            let outcome = step(&mut s, first);
            assert!(
                matches!(outcome, Err(ExchangeError::Malformed(_))),
                "{first}: {outcome:?}"
            );
        }
    }

    #[test]
    fn iterations_are_bounded_both_ways() {
        for (count, refused) in [
            ("1", 1),
            ("4095", 4_095),
            ("2000001", 2_000_001),
            ("4294967295", u64::from(u32::MAX)),
            ("99999999999999999999999", u64::MAX),
        ] {
            let mut s = scram(Hash::Sha256, Binding::None, R);
            step(&mut s, "").unwrap();
            assert_eq!(
                step(
                    &mut s,
                    &format!("r={R}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}")
                ),
                Err(ExchangeError::Iterations(refused))
            );
        }
    }

    #[test]
    fn errors_of_the_server_tell_what_is_at_fault() {
        for (error, blames) in [
            ("e=invalid-proof", false),
            ("e=unsupported-channel-binding-type", true),
            ("e=channel-binding-not-supported", true),
            ("e=other-error,ext", false),
        ] {
            let mut s = scram(Hash::Sha256, Binding::Exporter([7; 32]), R);
            step(&mut s, "").unwrap();
            step(&mut s, FIRST).unwrap();
            assert_eq!(step(&mut s, error).unwrap_err().blames_mechanism(), blames);
        }
    }

    #[test]
    fn bindings_stand_in_the_header_and_in_the_proof() {
        // RFC 5802 §7: c= is Base64 of the header and the binding's data.
        for (binding, header, data) in [
            (Binding::NotOffered, "y,,", &[][..]),
            (Binding::Exporter([7; 32]), "p=tls-exporter,,", &[7; 32]),
        ] {
            let mut s = scram(Hash::Sha256, binding, R);
            assert_eq!(step(&mut s, "").unwrap(), format!("{header}n=user,r={R}"));
            let last = step(&mut s, FIRST).unwrap();
            let bound = [header.as_bytes(), data].concat();
            assert!(last.starts_with(&format!("c={},r=", STANDARD.encode(bound))));
        }
    }

    #[test]
    fn names_are_escaped_and_texts_prepared() {
        let s = Scram::new(
            Hash::Sha256,
            Binding::None,
            "a,b=c",
            prepared(b"p").unwrap(),
        )
        .unwrap();
        assert!(s.first.starts_with("n=a=2Cb=3Dc,r="));
        assert_eq!(s.nonce.len(), 32);
        // RFC 4013 §3
        assert_eq!(prepared("I\u{AD}X".as_bytes()).unwrap().as_str(), "IX");
        assert_eq!(prepared("\u{2168}".as_bytes()).unwrap().as_str(), "IX");
        assert_eq!(prepared("\u{AA}".as_bytes()).unwrap().as_str(), "a");
        assert!(prepared(b"\x07").is_none());
        assert!(prepared("\u{627}\u{31}".as_bytes()).is_none());
        assert!(prepared(b"\xff").is_none() && prepared(b"").is_none());
    }
}
