use jetwash_event::Did;

use crate::short::short;
use crate::source::Endpoint;

/// The address of a labeler, and who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelerAddress {
    pub(super) endpoint: Endpoint,
    pub(super) did: Did,
    /// The full address without a cursor.
    name: String,
}

impl LabelerAddress {
    /// Reads a host or a URL, and a DID.
    pub(crate) fn parse(address: &str, did: &str) -> Result<Self, String> {
        let endpoint = Endpoint::of_labeler(address)?;
        let parsed: Result<Did, _> = did.parse();
        let did = parsed.map_err(|error| format!("its DID {:?} is {error}", short(did)))?;
        let name = endpoint.to_string();
        Ok(Self {
            endpoint,
            did,
            name,
        })
    }

    /// Who it is.
    pub(crate) const fn did(&self) -> &Did {
        &self.did
    }

    /// The full address without a cursor.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
