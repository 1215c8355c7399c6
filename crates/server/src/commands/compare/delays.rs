use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// How much later one side delivered than the other, counted in steps of 3 %: a few hundred numbers,
/// however many events there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    steps: BTreeMap<i32, u64>,
    count: u64,
    range: Option<(f64, f64)>,
}

/// Percentiles of the delays of B behind A in milliseconds; negative where B was first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct DelaySummary {
    pub(super) min: f64,
    pub(super) p5: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Delays {
    /// Adds one; `is_behind` if B was later.
    pub(super) fn add(&mut self, apart: Duration, is_behind: bool) {
        let sign = if is_behind { 1.0 } else { -1.0 };
        let micros = apart.as_secs_f64() * 1e6;
        let step = (sign * micros.ln_1p() * STEPS).round() as i32;
        *self.steps.entry(step).or_default() += 1;
        self.count += 1;
        let millis = sign * micros / 1e3;
        let (min, max) = self.range.unwrap_or((millis, millis));
        self.range = Some((min.min(millis), max.max(millis)));
    }

    /// Summarises them; `None` if there are no delays.
    pub(super) fn summary(&self) -> Option<DelaySummary> {
        let (min, max) = self.range?;
        let at = |share: f64| self.percentile(share).clamp(min, max);
        Some(DelaySummary {
            min,
            p5: at(0.05),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max,
        })
    }

    fn percentile(&self, share: f64) -> f64 {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (step, count) in &self.steps {
            seen += count;
            if seen >= wanted {
                let micros = (f64::from(step.abs()) / STEPS).exp_m1();
                return micros.copysign(f64::from(*step)) / 1e3;
            }
        }
        0.0
    }
}

/// Steps for each factor of e.
const STEPS: f64 = 32.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_step_and_the_extremes_exactly() {
        let mut delays = Delays::default();
        assert_eq!(delays.summary(), None);
        for millis in 1..=100 {
            delays.add(Duration::from_millis(millis), true);
        }
        delays.add(Duration::from_millis(7), false);
        let summary = delays.summary().unwrap();
        assert_eq!((summary.min, summary.max), (-7.0, 100.0));
        for (found, exact) in [
            (summary.p5, 5.0),
            (summary.p50, 50.0),
            (summary.p95, 95.0),
            (summary.p99, 99.0),
        ] {
            assert!((found / exact - 1.0).abs() < 0.04, "{found} {exact}");
        }
    }
}
