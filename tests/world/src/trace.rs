//! The trace of a world, as a hash of all of it and the last of it in words.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The trace of a world, which all its parts write to.
#[derive(Clone)]
pub(crate) struct Trace {
    begun: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    hash: u64,
    tail: VecDeque<String>,
    failures: Vec<String>,
    is_printed: bool,
}

impl Trace {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            is_printed: std::env::var_os("TRACE").is_some(),
            ..Inner::default()
        };
        Self {
            begun: Instant::now(),
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    pub(crate) fn passed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Notes an event of the world.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        let mut line = format!("{:9.3} ", self.passed().as_secs_f64());
        let _ = line.write_str(text.as_ref());
        self.with(|inner| {
            inner.mix(line.as_bytes());
            if inner.is_printed {
                println!("{line}");
            }
            inner.tail.push_back(line);
            if inner.tail.len() > TAIL {
                inner.tail.pop_front();
            }
        });
    }

    /// Notes what need not be told.
    pub(crate) fn mix(&self, bytes: &[u8]) {
        let passed = self.passed().as_micros() as u64;
        self.with(|inner| {
            inner.mix(&passed.to_le_bytes());
            inner.mix(bytes);
        });
    }

    /// Notes that an invariant does not hold.
    pub(crate) fn fail(&self, text: impl Into<String>) {
        let text = text.into();
        self.note(format!("FAILED: {text}"));
        self.with(|inner| inner.failures.push(text));
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.with(|inner| !inner.failures.is_empty())
    }

    pub(crate) fn take(&self) -> (u64, Vec<String>, Vec<String>) {
        self.with(|inner| {
            let tail = inner.tail.drain(..).collect();
            (inner.hash, tail, std::mem::take(&mut inner.failures))
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.hash = self.hash.rotate_left(29) ^ 0x5bd1_e995;
    }
}

const TAIL: usize = 80;
