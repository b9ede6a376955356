//! Passwords that the program makes up.

use restante_proto::Secret;

/// No letters that are mistaken for each other.
const LETTERS: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP_LETTERS: usize = 5;

/// A new password: four groups of five letters and digits, 99 bits, easy to read to somebody.
///
/// # Panics
/// When the system has no random numbers; nothing safe can be made then.
pub fn generate_password() -> Secret {
    let mut text = Vec::with_capacity(GROUPS * (GROUP_LETTERS + 1));
    for group in 0..GROUPS {
        if group > 0 {
            text.push(b'-');
        }
        for _ in 0..GROUP_LETTERS {
            text.push(letter());
        }
    }
    Secret::new(text)
}

/// Each letter is as likely as the others: octets past the last multiple are thrown away.
fn letter() -> u8 {
    let fair = 255 - 255 % LETTERS.len() as u8;
    loop {
        let mut octet = [0u8];
        getrandom::fill(&mut octet).expect("the system gives random numbers");
        if octet[0] < fair {
            return LETTERS[usize::from(octet[0]) % LETTERS.len()];
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn they_differ_and_have_four_groups() {
        let (a, b) = (super::generate_password(), super::generate_password());
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.expose().len(), 23);
        assert_eq!(a.expose().iter().filter(|&&c| c == b'-').count(), 3);
    }
}
