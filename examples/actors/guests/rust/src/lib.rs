//! Adds up what Lua processes send: a component that is a process among them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use wippy::runtime::process;
use wippy::runtime::types::{Event, Message, Payload};

wit_bindgen::generate!({
    path: "../../../../src/wasm/wit",
    inline: r#"
        package acme:adder;
        world adder {
          import wippy:runtime/process@0.1.0;
          export run: func() -> result<string, string>;
        }
    "#,
    generate_all,
});

struct Adder;

export!(Adder);

impl Guest for Adder {
    /// Ends with a text when it is cancelled.
    fn run() -> Result<String, String> {
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        loop {
            match process::receive(None) {
                Some(Event::Message(message)) => answer(&mut sums, &message)?,
                Some(Event::Cancel(reason)) => return Ok(format!("{} in all ({reason})", sums.values().sum::<i64>())),
                _ => {}
            }
        }
    }
}

fn answer(sums: &mut BTreeMap<String, i64>, message: &Message) -> Result<(), String> {
    match (message.topic.as_str(), &message.payload) {
        ("add", Payload::Json(text)) => {
            let entry: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let item = entry["item"].as_str().ok_or("an entry has an item")?;
            *sums.entry(item.to_owned()).or_default() += entry["count"].as_i64().ok_or("an entry has a count")?;
            Ok(())
        }
        ("sums", _) => {
            let sums = Payload::Json(json!(sums).to_string());
            process::send(&message.sender, "sums", &sums).map_err(|error| error.message)
        }
        _ => Ok(()),
    }
}
