use std::io;

use futures_core::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

use super::lookup::TxtLookup;

/// Looks TXT records up with [hickory](https://docs.rs/hickory-resolver), which asks the DNS
/// servers of the machine and keeps their answers for as long as they say.
///
/// # Examples
///
/// ```no_run
/// use jetwash_identity::{HickoryTxt, IdentityOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let identities = IdentityOptions::new().txt_lookup(HickoryTxt::system()?).start()?;
/// let did = identities.resolve_handle(&"bsky.app".parse()?).await?;
/// # Ok(())
/// # }
/// ```
pub struct HickoryTxt(TokioResolver);

impl HickoryTxt {
    /// Uses the DNS servers of the machine.
    ///
    /// # Errors
    ///
    /// When it names none that can be used, as in `/etc/resolv.conf`.
    pub fn system() -> io::Result<Self> {
        let builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        builder.build().map(Self).map_err(io::Error::other)
    }
}

impl std::fmt::Debug for HickoryTxt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HickoryTxt")
    }
}

impl TxtLookup for HickoryTxt {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>> {
        Box::pin(async move {
            // With the dot at its end, no domain of this machine is tried behind the name.
            let found = match self.0.txt_lookup(format!("{name}.")).await {
                Ok(found) => found,
                Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
                Err(error) => return Err(io::Error::other(error)),
            };
            let texts = found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
                    _ => None,
                });
            Ok(texts.collect())
        })
    }
}
