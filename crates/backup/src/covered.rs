//! Which messages a verified backup holds: what `keep = "until-backed-up"` believes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use restante_store::UniqueId;
use restante_store::embedded::EmbeddedStore;

use crate::error::Result;
use crate::state::State;

/// What the newest verified generations hold, as known when this was made.
#[derive(Debug, Clone)]
pub struct Covered {
    store: Arc<EmbeddedStore>,
    packs: Arc<BTreeMap<[u8; 16], u64>>,
}

impl Covered {
    /// Reads what is known in the data folder.
    ///
    /// # Errors
    /// Those of `state.db`.
    pub fn read(store: Arc<EmbeddedStore>, data: &Path) -> Result<Self> {
        let packs = match State::look(data)? {
            Some(state) => state.covered()?,
            None => BTreeMap::new(),
        };
        let packs = Arc::new(packs);
        Ok(Self { store, packs })
    }

    /// Whether a message stands in a part of a pack that a verified backup holds. What cannot be
    /// found out is not backed up; nor is a message that a compactor has moved since.
    pub fn has(&self, id: UniqueId) -> bool {
        let at = self.store.whereabouts(id);
        let Ok(Some((pack, end))) = at else {
            return false;
        };
        let Ok(Some(identity)) = self.store.pack_identity(pack) else {
            return false;
        };
        // Another pack may have taken the number while its id was read.
        self.packs
            .get(&identity)
            .is_some_and(|octets| end <= *octets)
            && self.store.whereabouts(id) == at
    }
}
