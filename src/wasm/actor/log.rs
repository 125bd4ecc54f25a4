//! The interface `log`: records with the guest's pid and entry.

use super::runtime::log::{Host, Level};
use crate::log::{self, Record};
use crate::wasm::state::State;

impl Host for State {
    fn write(&mut self, level: Level, text: String, fields: Vec<(String, String)>) {
        let process = self.process();
        let log = process.kernel().log();
        let level = match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        if log.enabled(level) {
            let record = Record::new(level, text).about(process.pid(), &process.entry());
            let add = |record: Record, (name, value): (String, String)| record.field(&name, value);
            log.record(fields.into_iter().fold(record, add));
        }
    }
}
