//! Delays between one attempt and the next: they grow up to a bound, and vary by chance, so that many who failed together do
//! not come back together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    pub initial_delay: Duration,
    pub max_delay: Duration,
    /// By how much each delay is longer than the one before it.
    pub factor: f64,
    /// How far a delay may vary: a ± fraction of it.
    pub jitter: f64,
}

impl Backoff {
    /// Before the n-th attempt after the first, n from 1: `min(max_delay, initial_delay · factor^(n-1))`, then up to `jitter`
    /// of it more or less; `luck` is between -1 and 1.
    pub fn delay(&self, n: u64, luck: f64) -> Duration {
        let exponent = i32::try_from(n - 1).unwrap_or(i32::MAX);
        // Finite, so that no delay stays none.
        let factor = self.factor.powi(exponent).min(f64::MAX);
        let capped = (self.initial_delay.as_secs_f64() * factor).min(self.max_delay.as_secs_f64());
        let seconds = capped * (1.0 + self.jitter * luck);
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(self.max_delay)
    }
}

/// A number between -1 and 1 that nobody can guess.
pub fn luck() -> f64 {
    // The keys of a new hasher are random.
    let random = RandomState::new().hash_one(());
    (random as f64 / u64::MAX as f64) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound_and_are_spread() {
        let backoff = Backoff {
            initial_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(5),
            factor: 2.0,
            jitter: 0.1,
        };
        for (n, luck, milliseconds) in [
            (1, 0.0, 1000),
            (2, 0.0, 2000),
            (3, 0.0, 4000),
            (4, 0.0, 5000),
            (u64::MAX, 0.0, 5000),
            (1, 1.0, 1100),
            (1, -1.0, 900),
            (9, 1.0, 5500),
        ] {
            assert_eq!(
                backoff.delay(n, luck),
                Duration::from_millis(milliseconds),
                "{n} {luck}"
            );
        }
        let none = Backoff {
            initial_delay: Duration::ZERO,
            ..backoff
        };
        assert_eq!(none.delay(u64::MAX, 1.0), Duration::ZERO);
        let wild = Backoff { jitter: 3.0, ..none };
        assert_eq!(wild.delay(1, -1.0), Duration::ZERO);
        assert!((-1.0..=1.0).contains(&luck()));
    }
}
