//! The server goes over to another dictionary while subscribers read.

use std::io::Read;

use jetwash::Dictionary;
use jetwash_serve::ServeOptions;
use tokio_tungstenite::tungstenite::Message;

use crate::log::{World, lines};

/// A dictionary for what a network like the simulated one says.
async fn dictionary(id: u32) -> Dictionary {
    // Others would do as well if they have but seen the names.
    let world = World::with(300).await;
    let samples = world.log().into_iter().map(|entry| entry.json);
    Dictionary::train(samples, 4096, id).unwrap()
}

/// The lines of a message, which must be a frame of this dictionary.
fn unpack(message: Message, dictionary: &Dictionary) -> Vec<String> {
    let Message::Binary(frame) = message else {
        panic!("not binary: {message:?}");
    };
    let found = jetwash::dict::compressed_dictionary_id(&frame);
    assert_eq!(found, Some(dictionary.id()), "another dictionary");
    let decoder = zstd::stream::read::Decoder::with_dictionary(&*frame, dictionary.bytes());
    let mut text = String::new();
    decoder.unwrap().read_to_string(&mut text).unwrap();
    text.split('\n').map(str::to_owned).collect()
}

/// Reads `count` events with one dictionary.
async fn follow(world: &World, query: &str, dictionary: &Dictionary, count: usize) -> Vec<String> {
    let mut client = world.connect(query).await;
    let mut lines = Vec::new();
    while lines.len() < count {
        lines.extend(unpack(client.message().await, dictionary));
    }
    lines
}

#[tokio::test]
async fn nobody_gets_a_frame_that_it_cannot_read_while_dictionaries_rotate() {
    const FRAMES: usize = 150;
    let first = dictionary(1).await;
    let world = World::start(ServeOptions::default(), Some(first.clone())).await;
    let mut known = vec![first];
    // How many events there will be is only known at the end, so each reader is told then.
    let (tell, told) = tokio::sync::watch::channel(None::<usize>);
    let mut readers = Vec::new();
    let mut start = async |known: &[Dictionary], number: usize| {
        let current = known.last().unwrap();
        // Half of them name a dictionary: the one in use, or one before it.
        let (name, dictionary) = if number.is_multiple_of(2) {
            let dictionary = &known[number / 2 % known.len()];
            let name = format!("&zstdDictionary={}", dictionary.id());
            (name, dictionary.clone())
        } else {
            (String::new(), current.clone())
        };
        let mode = if number % 4 < 2 { "true" } else { "batch" };
        let query = format!("cursor=0&compress={mode}{name}");
        let mut client = world.connect(&query).await;
        client.settle().await;
        let mut told = told.clone();
        readers.push(tokio::spawn(async move {
            let mut lines: Vec<String> = Vec::new();
            loop {
                let total = *told.borrow_and_update();
                if total.is_some_and(|total| lines.len() >= total) {
                    return lines;
                }
                tokio::select! {
                    message = client.message() => lines.extend(unpack(message, &dictionary)),
                    changed = told.changed(), if total.is_none() => changed.unwrap(),
                }
            }
        }));
    };
    world.push(FRAMES).await;
    for number in 0..20 {
        start(&known, number).await;
    }
    for id in 2..=4 {
        let next = dictionary(id).await;
        world.push(FRAMES).await;
        world
            .jetstream
            .rotate_dictionary(next.clone())
            .await
            .unwrap();
        known.push(next);
        world.push(FRAMES).await;
        for number in 0..10 {
            start(&known, number).await;
        }
    }
    world.push(FRAMES).await;
    let expected = lines(&world.log());
    tell.send_replace(Some(expected.len()));
    assert_eq!(readers.len(), 50);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_log_of_several_dictionaries_is_served_with_the_one_in_use() {
    let world = World::start(ServeOptions::default(), Some(dictionary(1).await)).await;
    world.push(100).await;
    for id in [2, 3] {
        let next = dictionary(id).await;
        world.jetstream.rotate_dictionary(next).await.unwrap();
        world.push(100).await;
    }
    let log = lines(&world.log());
    let current = world.jetstream.dictionary().unwrap();
    for mode in ["true", "batch"] {
        let query = format!("cursor=0&compress={mode}");
        assert_eq!(follow(&world, &query, &current, log.len()).await, log);
    }
    // Each of the others is there for clients that ask for it.
    for dictionary in world.jetstream.store().dictionaries() {
        let query = format!("cursor=0&compress=true&zstdDictionary={}", dictionary.id());
        assert_eq!(follow(&world, &query, &dictionary, log.len()).await, log);
    }
}
