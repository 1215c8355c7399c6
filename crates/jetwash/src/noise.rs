use std::time::Duration;

/// Keeps a fault that happens again and again from filling the log: the first of each kind and
/// source is told, then one after 10 s, 20 s, 40 s, … up to an hour.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    kinds: Vec<Heard>,
}

#[derive(Debug)]
struct Heard {
    source: Box<str>,
    kind: &'static str,
    told: Duration,
    last: Duration,
    wait: Duration,
    held: u64,
}

impl Noise {
    /// Returns how many faults before it were not logged, if one at the time `now` is to be; `None`
    /// otherwise. Times count from anywhere.
    pub(crate) fn admit(&mut self, source: &str, kind: &'static str, now: Duration) -> Option<u64> {
        let known = self
            .kinds
            .iter_mut()
            .find(|heard| heard.kind == kind && *heard.source == *source);
        let Some(heard) = known else {
            if self.kinds.len() == MAX_KINDS {
                self.kinds.remove(0);
            }
            self.kinds.push(Heard {
                source: source.into(),
                kind,
                told: now,
                last: now,
                wait: FIRST,
                held: 0,
            });
            return Some(0);
        };
        // A fault that was gone for as long as the longest pause counts as new.
        let quiet = now.saturating_sub(heard.last);
        heard.last = now;
        if now.saturating_sub(heard.told) < heard.wait && now >= heard.told {
            heard.held += 1;
            return None;
        }
        heard.wait = if quiet >= LONGEST {
            FIRST
        } else {
            LONGEST.min(heard.wait * 2)
        };
        heard.told = now;
        Some(std::mem::take(&mut heard.held))
    }
}

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);
const MAX_KINDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_told_and_later_ones_at_growing_intervals() {
        let mut noise = Noise::default();
        let told: Vec<_> = (0..200)
            .filter_map(|second| {
                let held = noise.admit("a", "kind", Duration::from_secs(second));
                held.map(|held| (second, held))
            })
            .collect();
        assert_eq!(told, [(0, 0), (10, 9), (30, 19), (70, 39), (150, 79)]);
        let now = Duration::from_secs(151);
        assert_eq!(noise.admit("b", "kind", now), Some(0));
        assert_eq!(noise.admit("a", "other", now), Some(0));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut noise = Noise::default();
        for source in 0..1000 {
            noise.admit(&source.to_string(), "kind", Duration::ZERO);
        }
        assert_eq!(noise.kinds.len(), MAX_KINDS);
    }
}
