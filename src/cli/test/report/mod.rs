//! The reporters: each turns the same events into its own text. None of them knows where that text goes.

mod json;
mod junit;
mod pretty;
mod tap;

use clap::ValueEnum;

use super::event::Event;
use crate::cli::console::Paint;
use crate::legible::printable;

/// Turns events into text, in the order in which they come.
pub trait Reporter {
    /// Adds what this event makes of the report.
    fn event(&mut self, event: &Event, out: &mut String);
}

/// What a report looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Pretty,
    /// Test Anything Protocol, version 14
    Tap,
    /// The XML that build servers read
    Junit,
    /// One JSON object a line
    Json,
}

pub fn reporter(format: Format, paint: Paint) -> Box<dyn Reporter> {
    match format {
        Format::Pretty => Box::new(pretty::Pretty::new(paint)),
        Format::Tap => Box::new(tap::Tap::default()),
        Format::Junit => Box::new(junit::Junit::default()),
        Format::Json => Box::new(json::Json),
    }
}

/// A file for those reports that show lists: `file: block › test`.
fn listing(file: &str, path: &[String]) -> String {
    printable(&format!("{file}: {}", path.join(" › ")))
}

#[cfg(test)]
fn written(mut reporter: impl Reporter) -> String {
    let mut out = String::new();
    for event in super::event::samples::events() {
        reporter.event(&event, &mut out);
    }
    out
}
