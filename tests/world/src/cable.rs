//! Connections in memory, which are slow, stall, and break in the middle of a message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::chance::Chance;

/// All connections of a world.
#[derive(Clone)]
pub(crate) struct Cables(Arc<Mutex<Inner>>);

struct Inner {
    chance: Chance,
    /// Sent to when all connections of an edge are cut.
    cuts: BTreeMap<String, watch::Sender<()>>,
    is_faulty: bool,
}

/// The faults of one direction of a connection.
struct Plan {
    chance: Chance,
    /// It breaks after this many bytes.
    cut_after: Option<u64>,
    /// It stands still once, after this many bytes, for this long.
    stall: Option<(u64, Duration)>,
    delay: Duration,
}

impl Cables {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            chance: Chance::of(seed, "cables"),
            cuts: BTreeMap::new(),
            is_faulty: false,
        })))
    }

    /// Whether connections have faults of their own.
    pub(crate) fn set_faulty(&self, is_faulty: bool) {
        self.with(|inner| inner.is_faulty = is_faulty);
    }

    /// Cuts all connections of an edge.
    pub(crate) fn cut(&self, edge: &str) {
        self.with(|inner| {
            if let Some(cut) = inner.cuts.get(edge) {
                cut.send_replace(());
            }
        });
    }

    /// Lays a cable, and returns its two ends.
    pub(crate) fn lay(&self, edge: &str) -> (DuplexStream, DuplexStream) {
        let (plans, mut cut) = self.with(|inner| {
            let plans = [inner.plan(), inner.plan()];
            let cuts = inner.cuts.entry(edge.to_owned());
            (
                plans,
                cuts.or_insert_with(|| watch::channel(()).0).subscribe(),
            )
        });
        let (near, inner_near) = duplex(BUFFER);
        let (far, inner_far) = duplex(BUFFER);
        tokio::spawn(async move {
            let [there, back] = plans;
            let (near_read, near_write) = split(inner_near);
            let (far_read, far_write) = split(inner_far);
            tokio::select! {
                biased;
                _ = cut.changed() => {}
                () = carry(near_read, far_write, there) => {}
                () = carry(far_read, near_write, back) => {}
            }
        });
        (near, far)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn plan(&mut self) -> Plan {
        let chance = &mut self.chance;
        let is_faulty = self.is_faulty;
        Plan {
            cut_after: (is_faulty && chance.percent(15)).then(|| chance.between(100, 200_000)),
            stall: (is_faulty && chance.percent(15))
                .then(|| (chance.between(100, 100_000), chance.millis(100, 45_000))),
            delay: Duration::from_micros(chance.between(0, 20_000)),
            chance: Chance::of(chance.next(), "cable"),
        }
    }
}

/// Carries bytes in one direction, until either end closes or the plan breaks the connection.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, mut plan: Plan) {
    let (mut buffer, mut carried) = (vec![0; BUFFER], 0);
    loop {
        let most = plan.chance.between(1, BUFFER as u64) as usize;
        let Ok(mut count @ 1..) = from.read(&mut buffer[..most]).await else {
            // What was written reaches the other end before it closes.
            let _ = to.shutdown().await;
            sleep(Duration::from_millis(100)).await;
            return;
        };
        sleep(plan.delay).await;
        carried += count as u64;
        if let Some((_, pause)) = plan.stall.take_if(|(after, _)| *after <= carried) {
            sleep(pause).await;
        }
        let is_cut = plan.cut_after.is_some_and(|after| after <= carried);
        if is_cut {
            count = plan.chance.below(count as u64) as usize;
        }
        if to.write_all(&buffer[..count]).await.is_err() || is_cut {
            return;
        }
    }
}

const BUFFER: usize = 16 << 10;
