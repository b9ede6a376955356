//! The directory of users as LMTP's address book.

use restante_directory::Directory;

use super::{Recipient, Recipients};

impl Recipients for Directory {
    fn find(&self, address: &str) -> Result<Option<Recipient>, String> {
        let found = self.find_address(address);
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|user| Recipient {
            mailbox: user.name,
            quota_octets: user.quota_octets,
        }))
    }
}
