//! did:web, from hosts that nobody vouches for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_core::future::BoxFuture;
use jetwash_identity::{
    AddressLookup, Budget, FetchError, IdentityOptions, ResolveError, ResolveErrorKind,
};

use crate::server::{Reply, Server, ok, response, status};
use crate::{HOUR, MINUTE, TestClock, did, document, key_of, options, plc, until};

/// Sends every name to the same addresses, and counts.
#[derive(Clone)]
pub(crate) struct Everywhere {
    addresses: Vec<IpAddr>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Everywhere {
    pub(crate) fn new(addresses: &[&str]) -> Self {
        Self {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            asked: Arc::default(),
        }
    }
}

impl AddressLookup for Everywhere {
    fn addresses<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(self.addresses.clone()) })
    }
}

/// Options with which every name leads to this server, over plain HTTP.
pub(crate) fn web_options(server: &Server) -> IdentityOptions {
    options(server)
        .insecure_web_port(server.address.port())
        .address_lookup(Everywhere::new(&["127.0.0.1"]))
        .allow_private(true)
}

fn host_error(error: ResolveError) -> FetchError {
    match error {
        ResolveError::Host { error, .. } => error,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_document_comes_from_the_host() {
    let server = Server::start(|_, _| ok(&document("did:web:pds.test", "a", "a.test"))).await;
    let identities = web_options(&server).start().unwrap();
    let document = identities.resolve(&did("did:web:pds.test")).await.unwrap();
    assert_eq!(key_of(&document), "a");
    assert_eq!(server.asked(), ["/.well-known/did.json"]);
}

#[tokio::test]
async fn a_host_of_this_machine_may_have_a_port_if_it_is_allowed() {
    let server = Server::start(|_, _| status(404)).await;
    let id = did(&format!("did:web:localhost%3A{}", server.address.port()));
    let refused = options(&server).start().unwrap();
    let error = refused.resolve(&id).await.unwrap_err();
    assert!(matches!(error, ResolveError::InvalidDid { .. }), "{error}");
    assert_eq!(server.count(), 0);
    let allowed = options(&server).allow_private(true).start().unwrap();
    let error = allowed.resolve(&id).await.unwrap_err();
    assert_eq!(error, ResolveError::NotFound { did: id });
}

#[tokio::test]
async fn a_host_with_private_addresses_is_refused_and_that_is_remembered() {
    let server = Server::start(|_, _| status(404)).await;
    let private = Everywhere::new(&["127.0.0.1", "10.0.0.1", "::1", "::ffff:192.168.0.1"]);
    let options = web_options(&server).allow_private(false);
    let identities = options.address_lookup(private.clone()).start().unwrap();
    for _ in 0..10 {
        let error = identities.resolve(&did("did:web:pds.test")).await;
        let error = host_error(error.unwrap_err());
        assert_eq!(error, FetchError::PrivateAddress);
    }
    assert_eq!(server.count(), 0);
    assert_eq!(private.asked.load(Ordering::SeqCst), 1);
    let snapshot = identities.snapshot();
    assert_eq!(snapshot.errors(ResolveErrorKind::PrivateAddress), 1);
    assert_eq!(snapshot.negative, 9);
}

/// A name that leads elsewhere each time that it is looked up.
struct Rebound(AtomicUsize);

impl AddressLookup for Rebound {
    fn addresses<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        let address = if asked > 0 {
            "127.0.0.1"
        } else {
            "255.255.255.254"
        };
        Box::pin(async move { Ok(vec![address.parse().unwrap()]) })
    }
}

#[tokio::test]
async fn a_name_is_checked_each_time_that_it_is_connected_to() {
    let server = Server::start(|_, _| status(404)).await;
    let options = web_options(&server).allow_private(false);
    let options = options.address_lookup(Rebound(AtomicUsize::new(0)));
    let clock = TestClock::new();
    let identities = options.clock(clock.clone()).start().unwrap();
    for _ in 0..2 {
        let error = identities.resolve(&did("did:web:pds.test")).await;
        assert_eq!(host_error(error.unwrap_err()), FetchError::PrivateAddress);
        clock.advance(MINUTE);
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_host_without_an_address_is_an_error_for_a_while() {
    let server = Server::start(|_, _| status(404)).await;
    let options = web_options(&server).address_lookup(Everywhere::new(&[]));
    let identities = options.start().unwrap();
    let error = identities.resolve(&did("did:web:pds.test")).await;
    assert_eq!(host_error(error.unwrap_err()), FetchError::NoAddress);
}

#[tokio::test]
async fn all_hosts_together_have_a_budget() {
    let server = Server::start(|_, _| status(404)).await;
    let options = web_options(&server).hosts_budget(Budget::new(10, HOUR));
    let identities = options.start().unwrap();
    for number in 0..100 {
        let id = did(&format!("did:web:host{number}.test"));
        let error = identities.resolve(&id).await.unwrap_err();
        let is_refused = matches!(error, ResolveError::Budget { .. });
        assert_eq!(is_refused, number >= 10, "{error}");
    }
    assert_eq!(server.count(), 10);
}

#[tokio::test]
async fn a_host_has_a_budget_also_for_what_others_redirect_to_it() {
    let server = Server::start(|_, _| status(404)).await;
    let port = server.address.port().to_string();
    let redirecting = Server::start(move |_, _| {
        let location = format!("Location: http://victim.test:{port}/page\r\n");
        Reply::Send(response(302, &location, ""))
    })
    .await;
    let options = web_options(&redirecting).host_budget(Budget::new(3, HOUR));
    let identities = options.start().unwrap();
    for number in 0..20 {
        let id = did(&format!("did:web:host{number}.test"));
        let error = identities.resolve(&id).await.unwrap_err();
        if number < 3 {
            assert_eq!(error, ResolveError::NotFound { did: id });
        } else {
            assert_eq!(host_error(error), FetchError::Budget);
        }
    }
    assert_eq!(server.count(), 3);
    assert_eq!(redirecting.count(), 20);
}

#[tokio::test]
async fn a_flood_of_one_method_leaves_room_for_the_other() {
    let server = Server::start(|path, _| match path {
        "/.well-known/did.json" => Reply::Silent,
        _ => status(404),
    })
    .await;
    let identities = web_options(&server).max_waiting(16).start().unwrap();
    let flood: Vec<_> = (0..2).map(|n| did(&format!("did:web:h{n}.test"))).collect();
    let waiting: Vec<_> = flood
        .into_iter()
        .map(|id| {
            let identities = identities.clone();
            tokio::spawn(async move { identities.resolve(&id).await })
        })
        .collect();
    until(|| server.count() == 2).await;
    let error = identities.resolve(&did("did:web:h3.test")).await;
    assert_eq!(error, Err(ResolveError::Busy { waiting: 2 }));
    let error = identities.resolve(&plc(1)).await.unwrap_err();
    assert_eq!(error, ResolveError::NotFound { did: plc(1) });
    for task in waiting {
        task.abort();
    }
}
