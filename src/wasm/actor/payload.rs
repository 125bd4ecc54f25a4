//! Plain data as guests see it, and back: `payload`, `outcome`, `error` of the WIT package, whose text says what becomes of
//! what.

use super::runtime::types::{Error, Outcome, Payload};
use crate::error::{self, Result};
use crate::json;
use crate::process::Exit;
use crate::value::{Item, Packed, Packer, Reader};
use crate::wasm::value::{LARGEST, check_room};

/// The values of a message: none, one, or an array of several.
pub fn of_message(values: &Packed) -> Payload {
    if values.len() < 2 {
        return of_first(values);
    }
    let (mut text, mut reader) = (String::from("["), values.reader());
    for index in 0..values.len() {
        text.push_str(if index == 0 { "" } else { "," });
        json::write(&mut reader, &mut text);
    }
    text.push(']');
    Payload::Json(text)
}

/// Each value by itself.
pub fn of_each(values: &Packed) -> Vec<Payload> {
    let mut reader = values.reader();
    (0..values.len()).map(|_| of_next(&mut reader)).collect()
}

fn of_first(values: &Packed) -> Payload {
    match values.is_empty() {
        true => Payload::None,
        false => of_next(&mut values.reader()),
    }
}

fn of_next(reader: &mut Reader<'_>) -> Payload {
    let mut ahead = *reader;
    match ahead.item() {
        Item::Nil => {
            *reader = ahead;
            Payload::None
        }
        Item::Str(bytes) => {
            *reader = ahead;
            match std::str::from_utf8(bytes) {
                Ok(text) => Payload::Text(text.to_owned()),
                Err(_) => Payload::Bytes(bytes.to_vec()),
            }
        }
        _ => {
            let mut text = String::new();
            json::write(reader, &mut text);
            Payload::Json(text)
        }
    }
}

/// How a process ended: of several values the first counts, as everywhere.
pub fn of_exit(exit: &Exit) -> Outcome {
    match &exit.result {
        Ok(values) => Outcome::Value(of_first(values)),
        Err(error) => Outcome::Failed(error.clone().into()),
    }
}

/// Bytes that a payload takes.
pub fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Json(text) | Payload::Text(text) => text.len(),
        Payload::Bytes(bytes) => bytes.len(),
        Payload::None => 0,
    }
}

/// A payload as the values of a message.
///
/// # Errors
/// Invalid for JSON that is none; LimitExceeded for what no message can hold.
pub fn to_message(payload: Payload) -> Result<Packed> {
    match payload {
        Payload::None => Ok(Packed::empty()),
        payload => to_values(vec![payload]),
    }
}

/// Payloads as values, one each.
///
/// # Errors
/// As [`to_message`].
pub fn to_values(payloads: Vec<Payload>) -> Result<Packed> {
    let mut packer = Packer::new();
    for payload in payloads {
        match payload {
            Payload::None => packer.nil(),
            Payload::Json(text) => json::read(&text, LARGEST, &mut packer)?,
            Payload::Text(text) => add_string(&mut packer, text.as_bytes())?,
            Payload::Bytes(bytes) => add_string(&mut packer, &bytes)?,
        }
    }
    Ok(packer.finish())
}

fn add_string(packer: &mut Packer, bytes: &[u8]) -> Result<()> {
    check_room(packer, bytes.len())?;
    packer.str(bytes);
    Ok(())
}

impl From<error::Error> for Error {
    fn from(error: error::Error) -> Error {
        let error = error.crossing();
        let details = error.details().map(|details| {
            let mut text = String::new();
            json::write(&mut Packed::from_value(details).reader(), &mut text);
            text
        });
        Error {
            kind: error.kind().as_str().to_owned(),
            message: error.to_string(),
            retryable: error.retryable(),
            details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error as Failure;
    use crate::value::Value;

    fn shown(payload: &Payload) -> String {
        match payload {
            Payload::Json(text) => format!("json {text}"),
            Payload::Text(text) => format!("text {text}"),
            Payload::Bytes(bytes) => format!("bytes {bytes:?}"),
            Payload::None => "none".to_owned(),
        }
    }

    fn message(values: &[Value]) -> String {
        shown(&of_message(&Packed::from_values(values)))
    }

    #[test]
    fn values_are_seen_as_the_package_says() {
        for (values, payload) in [
            (vec![], "none"),
            (vec![Value::Nil], "none"),
            (vec![Value::from("ä")], "text ä"),
            (vec![Value::from("")], "text "),
            (vec![Value::str([0xff, 0])], "bytes [255, 0]"),
            (vec![Value::Bool(true)], "json true"),
            (vec![Value::Int(42)], "json 42"),
            (vec![Value::map([("a", Value::Int(1))])], "json {\"a\":1}"),
            (vec![Value::array([])], "json []"),
            (vec![Value::Error(Failure::not_found("gone"))], "json \"gone\""),
            (vec![Value::Int(1), Value::from("x"), Value::Nil], "json [1,\"x\",null]"),
        ] {
            assert_eq!(message(&values), payload);
        }
        let values = [
            Value::Int(1),
            Value::from("x"),
            Value::Nil,
            Value::array([]),
            Value::from("y"),
        ];
        let each: Vec<String> = of_each(&Packed::from_values(&values)).iter().map(shown).collect();
        assert_eq!(each, ["json 1", "text x", "none", "json []", "text y"]);
    }

    #[test]
    fn payloads_become_values_again() {
        let payloads = || {
            vec![
                Payload::Json("{\"a\":[1,2.0,null]}".to_owned()),
                Payload::Text("t".to_owned()),
                Payload::Bytes(vec![0xff]),
                Payload::None,
            ]
        };
        let values = to_values(payloads()).unwrap().to_values().unwrap();
        let list = Value::array([Value::Int(1), Value::Int(2), Value::Nil]);
        let expected = [
            Value::map([("a", list)]),
            Value::from("t"),
            Value::str([0xff]),
            Value::Nil,
        ];
        assert_eq!(values, expected);
        let lengths: Vec<usize> = payloads()
            .into_iter()
            .map(|payload| to_message(payload).unwrap().len())
            .collect();
        assert_eq!(lengths, [1, 1, 1, 0]);
        let error = to_message(Payload::Json("{".to_owned())).unwrap_err();
        assert_eq!(
            error.message(),
            "invalid JSON: EOF while parsing an object at line 1 column 1"
        );
    }

    #[test]
    fn an_end_is_its_first_value_or_its_error_with_everything_that_was_said() {
        let returned = Exit::returned(Packed::from_values(&[Value::Int(1), Value::Int(2)]));
        let Outcome::Value(value) = of_exit(&returned) else {
            panic!("it returned")
        };
        assert_eq!(shown(&value), "json 1");
        let error = Failure::not_found("gone")
            .context("look failed")
            .with_retryable(Some(true))
            .with_details(Value::map([("limit", Value::Int(3))]));
        let Outcome::Failed(error) = of_exit(&Exit::failed(error)) else {
            panic!("it failed")
        };
        assert_eq!(
            (error.kind.as_str(), error.message.as_str()),
            ("NotFound", "look failed: gone")
        );
        assert_eq!(
            (error.retryable, error.details.as_deref()),
            (Some(true), Some("{\"limit\":3}"))
        );
        let unknown = Failure::internal("x")
            .with_kind(error::Kind::Unknown)
            .with_retryable(None);
        let error = Error::from(unknown);
        assert_eq!(
            (error.kind.as_str(), error.retryable, error.details),
            ("Internal", None, None)
        );
    }
}
