//! The options of a call, from an entry's `meta.options` or `with_options`: how long it may take, and whether a failed one is
//! made again. The decision to try again is a pure function of the error and the number of the attempt.

use std::time::Duration;

use crate::backoff::{Backoff, luck};
use crate::duration;
use crate::error::{Error, Kind, Result};
use crate::value::Value;

/// A century: longer delays are as good as for ever.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What is set of the options of a call. Unknown ones are ignored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Zero: none, whatever an entry says.
    timeout: Option<Duration>,
    retry: Option<Retry>,
}

impl Options {
    /// Reads a table of options; what is no table has none.
    ///
    /// # Errors
    /// Invalid, naming the option.
    pub fn read(table: &Value) -> Result<Options> {
        Ok(Options {
            timeout: read(table, "timeout", duration_of)?,
            retry: read(table, "retry", Retry::read)?,
        })
    }

    /// These, but where the others set something.
    #[must_use]
    pub fn overridden_by(&self, others: &Options) -> Options {
        Options {
            timeout: others.timeout.or(self.timeout),
            retry: others.retry.clone().or_else(|| self.retry.clone()),
        }
    }

    /// How long the call may take, all attempts together.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.filter(|timeout| !timeout.is_zero())
    }

    /// When to try again, if ever.
    pub fn retry(&self) -> Option<&Retry> {
        self.retry.as_ref().filter(|retry| retry.max_attempts > 1)
    }
}

/// `options.retry`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all.
    pub max_attempts: u64,
    backoff: Backoff,
    /// If there are any, only these are retried.
    retry_kinds: Vec<Kind>,
    skip_kinds: Vec<Kind>,
}

/// What a retry that says nothing waits.
const BACKOFF: Backoff = Backoff {
    initial_delay: Duration::from_millis(100),
    max_delay: Duration::from_secs(10),
    factor: 2.0,
    jitter: 0.1,
};

/// Kinds that another attempt would not change.
const FINAL: [Kind; 5] = [
    Kind::Invalid,
    Kind::PermissionDenied,
    Kind::Internal,
    Kind::LimitExceeded,
    Kind::Canceled,
];

impl Retry {
    fn read(table: &Value) -> Result<Retry> {
        if !matches!(table, Value::Table(_)) {
            return Err(expected("a table", table));
        }
        let kinds = |name| read(table, name, kinds_of).map(Option::unwrap_or_default);
        let number = |name, otherwise| read(table, name, number_of).map(|number| number.unwrap_or(otherwise));
        let delay = |name, otherwise| read(table, name, duration_of).map(|delay| delay.unwrap_or(otherwise));
        Ok(Retry {
            // Saturates.
            max_attempts: number("max_attempts", 0.0)? as u64,
            backoff: Backoff {
                initial_delay: delay("initial_delay", BACKOFF.initial_delay)?,
                max_delay: delay("max_delay", BACKOFF.max_delay)?,
                factor: number("backoff_factor", BACKOFF.factor)?,
                jitter: number("jitter", BACKOFF.jitter)?,
            },
            retry_kinds: kinds("retry_kinds")?,
            skip_kinds: kinds("skip_kinds")?,
        })
    }

    /// Whether an attempt that failed so is worth another one.
    pub fn wants_another(&self, error: &Error) -> bool {
        let kind = error.kind();
        let wanted = self.retry_kinds.is_empty() || self.retry_kinds.contains(&kind);
        wanted && !self.skip_kinds.contains(&kind) && !FINAL.contains(&kind) && error.retryable() != Some(false)
    }

    /// How long to wait after the n-th attempt, counted from 1.
    pub fn delay(&self, attempt: u64) -> Duration {
        self.backoff.delay(attempt, luck())
    }
}

/// The field of that name, if it is set.
fn read<T>(table: &Value, name: &str, value: impl Fn(&Value) -> Result<T>) -> Result<Option<T>> {
    let field = table.get(name).filter(|field| **field != Value::Nil);
    field
        .map(value)
        .transpose()
        .map_err(|error| error.context(format!("option {name}")))
}

/// Milliseconds, or a duration string.
fn duration_of(value: &Value) -> Result<Duration> {
    let nanoseconds = match value {
        Value::Int(milliseconds) => milliseconds.saturating_mul(duration::MILLISECOND),
        // Saturates.
        Value::Float(milliseconds) if !milliseconds.is_nan() => (milliseconds * duration::MILLISECOND as f64) as i64,
        Value::Str(_) => duration::parse(value.as_str().unwrap_or_default())?,
        other => return Err(expected("milliseconds or a string like \"1.5s\"", other)),
    };
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| Error::invalid("a duration cannot be negative"))?;
    Ok(Duration::from_nanos(nanoseconds).min(FOREVER))
}

fn number_of(value: &Value) -> Result<f64> {
    let number = match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        other => return Err(expected("a number", other)),
    };
    match number >= 0.0 {
        true => Ok(number),
        false => Err(Error::invalid("a number cannot be negative")),
    }
}

fn kinds_of(value: &Value) -> Result<Vec<Kind>> {
    let Value::Table(table) = value else {
        return Err(expected("an array of kinds", value));
    };
    let kind = |item: &Value| match item.as_str().map(|name| (name, Kind::parse(name))) {
        Some((name, kind)) if kind.as_str() == name => Ok(kind),
        Some((name, _)) => Err(Error::invalid(format!("{name:?} is no kind of error"))),
        None => Err(expected("the name of a kind", item)),
    };
    table.array.iter().map(kind).collect()
}

fn expected(what: &str, got: &Value) -> Error {
    Error::invalid(format!("expected {what}, got {}", got.type_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, Value)]) -> Result<Options> {
        Options::read(&Value::map(pairs.iter().cloned()))
    }

    fn retry(pairs: &[(&str, Value)]) -> Retry {
        let all = options(&[("retry", Value::map(pairs.iter().cloned()))]).unwrap();
        all.retry.unwrap()
    }

    #[test]
    fn what_a_call_sets_wins_over_what_its_entry_sets() {
        let entry = options(&[
            ("timeout", "2s".into()),
            ("retry", Value::map([("max_attempts", Value::Int(3))])),
            ("default_host", "app:host".into()),
        ]);
        let entry = entry.unwrap();
        assert_eq!(entry.timeout(), Some(Duration::from_secs(2)));
        assert_eq!(entry.retry().unwrap().max_attempts, 3);
        let call = options(&[("timeout", Value::Int(50))]).unwrap();
        let both = entry.overridden_by(&call);
        assert_eq!(both.timeout(), Some(Duration::from_millis(50)));
        assert_eq!(both.retry().unwrap().max_attempts, 3);
        let none = options(&[("timeout", Value::Float(0.0)), ("retry", Value::map::<&str>([]))]).unwrap();
        let both = entry.overridden_by(&none);
        assert_eq!((both.timeout(), both.retry()), (None, None));
        assert_eq!(Options::read(&Value::Nil).unwrap(), Options::default());
    }

    #[test]
    fn mistakes_name_the_option() {
        let within = |name: &str, value: Value| options(&[("retry", Value::map([(name, value)]))]).unwrap_err();
        for (error, expected) in [
            (
                options(&[("timeout", Value::Bool(true))]).unwrap_err(),
                "option timeout: expected milliseconds",
            ),
            (
                options(&[("timeout", "soon".into())]).unwrap_err(),
                "option timeout: invalid duration",
            ),
            (
                options(&[("timeout", Value::Int(-1))]).unwrap_err(),
                "option timeout: a duration cannot be negative",
            ),
            (
                options(&[("retry", Value::Int(3))]).unwrap_err(),
                "option retry: expected a table, got number",
            ),
            (
                within("jitter", "x".into()),
                "option retry: option jitter: expected a number, got string",
            ),
            (
                within("max_attempts", Value::Int(-3)),
                "option retry: option max_attempts: a number cannot be negative",
            ),
            (
                within("skip_kinds", Value::array(["Timout".into()])),
                "option retry: option skip_kinds: \"Timout\" is no kind of error",
            ),
        ] {
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn which_errors_are_worth_another_attempt() {
        let any = retry(&[]);
        let error = |kind, retryable| Error::new(kind, "x").with_retryable(retryable);
        for kind in Kind::ALL {
            let last = matches!(
                kind,
                Kind::Invalid | Kind::PermissionDenied | Kind::Internal | Kind::LimitExceeded | Kind::Canceled
            );
            assert_eq!(any.wants_another(&error(kind, None)), !last, "{kind:?}");
            assert_eq!(any.wants_another(&error(kind, Some(true))), !last, "{kind:?}");
            assert!(!any.wants_another(&error(kind, Some(false))), "{kind:?}");
        }
        let kinds = |name, kinds: &[&str]| (name, Value::array(kinds.iter().map(|kind| Value::from(*kind))));
        let some = retry(&[kinds("retry_kinds", &["Timeout", "Internal"])]);
        assert!(some.wants_another(&error(Kind::Timeout, None)));
        assert!(!some.wants_another(&error(Kind::Unavailable, None)));
        assert!(!some.wants_another(&error(Kind::Internal, None)));
        let but = retry(&[kinds("skip_kinds", &["Timeout"])]);
        assert!(!but.wants_another(&error(Kind::Timeout, None)));
        assert!(but.wants_another(&error(Kind::Unavailable, None)));
    }

    #[test]
    fn delays_have_defaults_and_may_be_set() {
        assert_eq!(retry(&[]).backoff, BACKOFF);
        let own = retry(&[
            ("initial_delay", Value::Int(10)),
            ("max_delay", "1s".into()),
            ("backoff_factor", Value::Float(10.0)),
            ("jitter", Value::Int(0)),
        ]);
        let delays = [1, 2, 3].map(|attempt| own.delay(attempt).as_millis());
        assert_eq!(delays, [10, 100, 1000]);
    }
}
