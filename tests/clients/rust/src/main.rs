//! Reads a number of events with one of four clients, and prints what each is about.
//!
//! Arguments: the client, the server's address, the number of events, a file of collections one a
//! line, and for compressed events the path of a dictionary. Of these only `shrike` speaks version 2;
//! it asks the server for its dictionary.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

#[tokio::main]
async fn main() -> Result<()> {
    // The clients bring two providers, between which rustls does not choose by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [client, address, count, collections, dictionary @ ..] = &arguments[..] else {
        bail!("usage: CLIENT ADDRESS COUNT COLLECTIONS [DICTIONARY]");
    };
    let count: usize = count.parse()?;
    let collections: Vec<String> = std::fs::read_to_string(collections)?
        .lines()
        .map(str::to_owned)
        .collect();
    let (sender, mut events) = unbounded_channel();
    let (address, dictionary) = (address.clone(), dictionary.first().cloned());
    match client.as_str() {
        "jetstream-oxide" => jetstream_oxide(address, dictionary, sender).await?,
        "rocketman" => rocketman(address, collections, dictionary, sender),
        "shrike" => shrike(address, dictionary.is_some(), sender),
        "atproto-jetstream" => atproto_jetstream(address, dictionary, sender).await?,
        other => bail!("no such client: {other}"),
    }
    for _ in 0..count {
        println!("{}", events.recv().await.context("the client has ended")?);
    }
    Ok(())
}

/// The one form in which the clients are compared.
fn describe(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let did = text(&event["did"]);
    match event["kind"].as_str() {
        Some("commit") => {
            let commit = &event["commit"];
            format!(
                "{did} {} {} {}/{}",
                text(&commit["rev"]),
                text(&commit["operation"]),
                text(&commit["collection"]),
                text(&commit["rkey"])
            )
        }
        Some(kind) => format!("{did} {kind} {}", event[kind]["seq"]),
        None => "?".to_owned(),
    }
}

async fn jetstream_oxide(
    address: String,
    dictionary: Option<String>,
    sender: UnboundedSender<String>,
) -> Result<()> {
    use jetstream_oxide::events::JetstreamEvent;
    use jetstream_oxide::events::commit::{CommitEvent, CommitInfo, CommitType};
    use jetstream_oxide::{JetstreamCompression, JetstreamConfig, JetstreamConnector};

    let config = JetstreamConfig {
        endpoint: format!("ws://{address}/subscribe"),
        compression: match dictionary {
            Some(_) => JetstreamCompression::Zstd,
            None => JetstreamCompression::None,
        },
        cursor: chrono::DateTime::from_timestamp_micros(1),
        ..JetstreamConfig::default()
    };
    let commit = |did: &str, commit: &CommitInfo| {
        let operation = match commit.operation {
            CommitType::Create => "create",
            CommitType::Update => "update",
            CommitType::Delete => "delete",
        };
        let (rev, rkey) = (&commit.rev, &commit.rkey);
        format!(
            "{did} {rev} {operation} {}/{rkey}",
            commit.collection.as_str()
        )
    };
    let events = JetstreamConnector::new(config)?.connect().await?;
    tokio::spawn(async move {
        while let Ok(event) = events.recv_async().await {
            let line = match event {
                JetstreamEvent::Commit(
                    CommitEvent::Create { info, commit: data }
                    | CommitEvent::Update { info, commit: data },
                ) => commit(info.did.as_str(), &data.info),
                JetstreamEvent::Commit(CommitEvent::Delete { info, commit: data }) => {
                    commit(info.did.as_str(), &data)
                }
                JetstreamEvent::Identity(event) => {
                    format!(
                        "{} identity {}",
                        event.info.did.as_str(),
                        event.identity.seq
                    )
                }
                JetstreamEvent::Account(event) => {
                    format!("{} account {}", event.info.did.as_str(), event.account.seq)
                }
            };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn rocketman(
    address: String,
    collections: Vec<String>,
    dictionary: Option<String>,
    sender: UnboundedSender<String>,
) {
    use rocketman::connection::JetstreamConnection;
    use rocketman::endpoints::JetstreamEndpoints;
    use rocketman::handler::{Ingestors, handle_message};
    use rocketman::ingestion::LexiconIngestor;
    use rocketman::options::JetstreamOptions;
    use rocketman::types::event::Event;

    struct Printer(UnboundedSender<String>);

    #[async_trait]
    impl LexiconIngestor for Printer {
        async fn ingest(&self, message: Event<Value>) -> Result<()> {
            self.0.send(describe(&serde_json::to_value(&message)?))?;
            Ok(())
        }
    }

    let options = JetstreamOptions {
        ws_url: JetstreamEndpoints::Custom(format!("ws://{address}/subscribe")),
        compress: dictionary.is_some(),
        ..JetstreamOptions::default()
    };
    tokio::spawn(async move {
        let connection = JetstreamConnection::new(options);
        let cursor = Arc::new(Mutex::new(Some(1)));
        let printer = || Box::new(Printer(sender.clone()));
        let mut commits: HashMap<_, Box<dyn LexiconIngestor + Send + Sync>> = HashMap::new();
        for collection in collections {
            commits.insert(collection, printer());
        }
        let ingestors = Ingestors {
            commits,
            identity: Some(printer()),
            account: Some(printer()),
        };
        let (messages, reconnect) = (connection.get_msg_rx(), connection.get_reconnect_tx());
        let position = Arc::clone(&cursor);
        tokio::spawn(async move {
            while let Ok(message) = messages.recv().await {
                let (reconnect, cursor) = (reconnect.clone(), Arc::clone(&position));
                if let Err(error) = handle_message(message, &ingestors, reconnect, cursor).await {
                    eprintln!("rocketman: {error}");
                }
            }
        });
        if let Err(error) = connection.connect(cursor).await {
            eprintln!("rocketman: {error}");
        }
    });
}

async fn atproto_jetstream(
    address: String,
    dictionary: Option<String>,
    sender: UnboundedSender<String>,
) -> Result<()> {
    use atproto_jetstream::{
        CancellationToken, Consumer, ConsumerTaskConfig, EventHandler, JetstreamEvent,
    };

    struct Printer(UnboundedSender<String>);

    #[async_trait]
    impl EventHandler for Printer {
        async fn handle_event(&self, event: Arc<JetstreamEvent>) -> Result<()> {
            self.0.send(describe(&serde_json::to_value(&*event)?))?;
            Ok(())
        }

        fn handler_id(&self) -> &str {
            "printer"
        }
    }

    let consumer = Consumer::new(ConsumerTaskConfig {
        user_agent: "jetwash".to_owned(),
        compression: dictionary.is_some(),
        zstd_dictionary_location: dictionary.unwrap_or_default(),
        jetstream_hostname: address,
        collections: Vec::new(),
        dids: Vec::new(),
        max_message_size_bytes: None,
        cursor: Some(1),
        require_hello: true,
    });
    consumer.register_handler(Arc::new(Printer(sender))).await?;
    tokio::spawn(async move {
        if let Err(error) = consumer.run_background(CancellationToken::new()).await {
            eprintln!("atproto-jetstream: {error:#}");
        }
    });
    Ok(())
}

/// Runs on a thread of its own: the client's futures stay on one.
fn shrike(address: String, is_compressed: bool, sender: UnboundedSender<String>) {
    use shrike::jetstream::{
        CancelToken, ClientArchive, Cursor, Delivery, Engine, EngineConfig, EngineSink, Error,
        Event, EventPayload, HttpDictionarySource, LiveConfig, LiveCursor, NativeHttpTransport,
        NativeWsTransport, Operation,
    };

    struct Printer(UnboundedSender<String>);

    impl EngineSink for Printer {
        async fn deliver(&mut self, delivery: Delivery) -> bool {
            let Delivery::Batch(batch) = delivery else {
                return true;
            };
            // Version 1, which is the measure, has no syncs.
            let is_sync = |event: &&Event| matches!(event.payload, EventPayload::Sync(_));
            let events = batch.events().iter().filter(|event| !is_sync(event));
            let mut lines = events.map(describe);
            lines.all(|line| self.0.send(line).is_ok())
        }

        async fn recoverable(&mut self, error: Error) -> bool {
            eprintln!("shrike: {error}");
            true
        }
    }

    fn describe(event: &Event) -> String {
        let did = event.did.as_str();
        match &event.payload {
            EventPayload::Commit(commit) => {
                let operation = match commit.operation {
                    Operation::Create => "create",
                    Operation::Update => "update",
                    Operation::Delete => "delete",
                };
                let (rev, collection) = (commit.rev.to_string(), commit.collection.to_string());
                format!("{did} {rev} {operation} {collection}/{}", commit.rkey)
            }
            EventPayload::Identity(identity) => format!("{did} identity {}", identity.seq),
            EventPayload::Account(account) => format!("{did} account {}", account.seq),
            EventPayload::Sync(sync) => format!("{did} sync {}", sync.seq),
        }
    }

    let run = async move || -> Result<()> {
        let cancel = CancelToken::new();
        let mut live = LiveConfig::new(&*address, false);
        live.cursor = LiveCursor::Resume(Cursor::Seq(0));
        live.compression = is_compressed;
        let http = NativeHttpTransport::new().map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let socket = NativeWsTransport::new(live.read_limit);
        let dictionary = HttpDictionarySource::new(http, &*address, false, cancel.clone());
        let archive = None::<ClientArchive<NativeHttpTransport>>;
        let engine = Engine::new(archive, socket, dictionary, EngineConfig::new(live), cancel);
        engine.run(&mut Printer(sender)).await?;
        Ok(())
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let ended = runtime
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(run()));
        if let Err(error) = ended {
            eprintln!("shrike: {error:#}");
        }
    });
}
