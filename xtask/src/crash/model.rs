//! What the clients know: what they were promised, and what they do not know.

use std::collections::{HashMap, HashSet};

/// A message that was sent at least once.
struct Sent {
    user: usize,
    bytes: Vec<u8>,
    attempts: usize,
    acknowledged: bool,
    /// The unique-ids under which it has been seen.
    seen: HashSet<String>,
}

/// One QUIT with its deletions.
struct Quit {
    ids: Vec<String>,
    acknowledged: bool,
}

/// A mailbox as it is found: unique-ids and messages.
pub(crate) type Found = Vec<(String, Vec<u8>)>;

/// What was promised, over all rounds.
#[derive(Default)]
pub(crate) struct Model {
    sent: Vec<Sent>,
    /// Sent, but 250 was not read.
    unsure: Vec<usize>,
    quits: Vec<Quit>,
    /// Removed for sure: a QUIT's +OK was read, or they were found to be gone.
    gone: HashSet<String>,
    /// Where each unique-id that was ever seen belongs.
    known: HashMap<String, usize>,
    again: usize,
}

const HEADER: &str = "X-Number: ";

impl Model {
    /// A new message, or one again whose fate is unknown; noted before it is sent.
    pub(crate) fn attempt(&mut self, user: usize, size: usize) -> (usize, Vec<u8>) {
        let waiting = self
            .unsure
            .iter()
            .position(|&number| self.sent[number].user == user);
        if let Some(at) = waiting {
            let number = self.unsure.swap_remove(at);
            let sent = &mut self.sent[number];
            sent.attempts += 1;
            self.again += 1;
            self.unsure.push(number);
            return (number, sent.bytes.clone());
        }
        let number = self.sent.len();
        let mut bytes = format!("{HEADER}{number}\r\nSubject: crash\r\n\r\n").into_bytes();
        while bytes.len() < size {
            let line = format!(
                ".{number} {:x} of a line that is not like the others\r\n",
                bytes.len() * 7919
            );
            bytes.extend_from_slice(line.as_bytes());
        }
        self.sent.push(Sent {
            user,
            bytes: bytes.clone(),
            attempts: 1,
            acknowledged: false,
            seen: HashSet::new(),
        });
        self.unsure.push(number);
        (number, bytes)
    }

    /// 250 was read.
    pub(crate) fn acknowledged(&mut self, number: usize) {
        self.sent[number].acknowledged = true;
        self.unsure.retain(|&other| other != number);
    }

    /// QUIT is about to be sent.
    pub(crate) fn quitting(&mut self, ids: Vec<String>) -> usize {
        self.quits.push(Quit {
            ids,
            acknowledged: false,
        });
        self.quits.len() - 1
    }

    /// Its +OK was read.
    pub(crate) fn quit(&mut self, group: usize) {
        self.quits[group].acknowledged = true;
    }

    /// Holds what is there, user by user, against what was promised.
    pub(crate) fn check(&mut self, found: Vec<Found>) -> Result<(), String> {
        let present: HashSet<&String> = found.iter().flatten().map(|(id, _)| id).collect();
        let many: usize = found.iter().map(Vec::len).sum();
        if present.len() != many {
            return Err("a unique-id is there twice".to_owned());
        }
        for (user, mailbox) in found.iter().enumerate() {
            for (id, bytes) in mailbox {
                self.meet(user, id, bytes)?;
            }
        }
        if let Some(id) = self.gone.iter().find(|id| present.contains(id)) {
            return Err(format!("{id} was removed and is there again"));
        }
        self.settle(&present)?;
        for (id, &number) in &self.known {
            if !present.contains(id) && !self.gone.contains(id) {
                return Err(format!(
                    "{id} (message {number}) is lost: it was there, and nobody removed it"
                ));
            }
        }
        for (number, sent) in self.sent.iter().enumerate() {
            let copies = sent.seen.len();
            if sent.acknowledged && copies == 0 {
                return Err(format!("message {number} is lost: its 250 was read"));
            }
            if copies > sent.attempts {
                return Err(format!(
                    "message {number} was sent {} times and is there {copies} times",
                    sent.attempts
                ));
            }
        }
        Ok(())
    }

    /// A message was read. Whoever removes one has read it before, so the model knows them all.
    pub(crate) fn meet(&mut self, user: usize, id: &str, bytes: &[u8]) -> Result<(), String> {
        let at = memchr::memmem::find(bytes, HEADER.as_bytes());
        let text = at.map(|at| String::from_utf8_lossy(&bytes[at + HEADER.len()..]).into_owned());
        let word = text
            .as_deref()
            .and_then(|text| text.split_whitespace().next());
        let number: usize = word
            .and_then(|word| word.parse().ok())
            .ok_or("a message that nobody sent")?;
        let sent = self
            .sent
            .get_mut(number)
            .ok_or("a message that nobody sent")?;
        if sent.user != user {
            return Err(format!(
                "message {number} is in the mailbox of another user"
            ));
        }
        if !bytes.ends_with(&sent.bytes) || bytes.len() > sent.bytes.len() + 200 {
            return Err(format!("message {number} is not as it was sent"));
        }
        sent.seen.insert(id.to_owned());
        self.known.insert(id.to_owned(), number);
        Ok(())
    }

    /// A QUIT without an answer happened wholly or not at all; from now on it is known which.
    fn settle(&mut self, present: &HashSet<&String>) -> Result<(), String> {
        let quits = std::mem::take(&mut self.quits);
        let left = |quit: &Quit| quit.ids.iter().filter(|id| present.contains(id)).count();
        for quit in &quits {
            if left(quit) == 0 {
                self.gone.extend(quit.ids.iter().cloned());
            } else if quit.acknowledged {
                return Err(
                    "a message is there, though the QUIT that removed it was answered +OK"
                        .to_owned(),
                );
            }
        }
        // Of those that did not happen, others may have removed some.
        for quit in &quits {
            let by_others = quit.ids.iter().filter(|id| self.gone.contains(*id)).count();
            if left(quit) + by_others < quit.ids.len() {
                return Err(format!(
                    "of a QUIT's {} messages {} are left",
                    quit.ids.len(),
                    left(quit)
                ));
            }
        }
        Ok(())
    }

    /// For people.
    pub(crate) fn summary(&self) -> String {
        let acknowledged = self.sent.iter().filter(|sent| sent.acknowledged).count();
        let doubled: usize = self
            .sent
            .iter()
            .map(|sent| sent.seen.len().saturating_sub(1))
            .sum();
        format!(
            "{} messages sent, {acknowledged} acknowledged, {} removed; {} sent again, {doubled} of them there twice (RFC 1047)",
            self.sent.len(),
            self.gone.len(),
            self.again
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that was sent and found, with the unique-id `a`.
    fn one() -> (Model, Vec<u8>) {
        let mut model = Model::default();
        let (number, bytes) = model.attempt(0, 100);
        model.acknowledged(number);
        (model, bytes)
    }

    #[test]
    fn a_loss_a_return_and_a_double_are_told() {
        let (mut model, bytes) = one();
        assert!(model.check(vec![vec![]]).is_err());
        let there = || vec![vec![("a".to_owned(), bytes.clone())]];
        assert_eq!(model.check(there()), Ok(()));
        let twice = vec![vec![
            ("a".to_owned(), bytes.clone()),
            ("b".to_owned(), bytes.clone()),
        ]];
        assert!(model.check(twice).is_err());

        let (mut model, _) = one();
        model.check(there()).expect("it is there");
        let quit = model.quitting(vec!["a".to_owned()]);
        model.quit(quit);
        assert!(model.check(there()).is_err());

        let (mut model, _) = one();
        model.check(there()).expect("it is there");
        assert!(model.check(vec![vec![]]).is_err());
    }

    #[test]
    fn what_nobody_promised_may_go_either_way() {
        let mut model = Model::default();
        let (_, bytes) = model.attempt(0, 100);
        assert_eq!(model.check(vec![vec![]]), Ok(()));
        assert_eq!(model.check(vec![vec![("a".to_owned(), bytes)]]), Ok(()));
        model.quitting(vec!["a".to_owned()]);
        assert_eq!(model.check(vec![vec![]]), Ok(()));
    }
}
