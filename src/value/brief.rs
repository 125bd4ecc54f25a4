//! What of plain data fits a line of a report: of a long text, of a large table and of many values only the beginning.

use super::{Item, Packed, Reader, Table, TableHead, Value};

/// Values that are shown in all, those in tables too.
const VALUES: usize = 32;
/// Bytes of a text that are shown.
const TEXT: usize = 128;
/// Bytes that the mark of a cut text takes at most.
const MARK: usize = 32;
/// Tables in tables that are shown.
const DEPTH: u32 = 4;

impl Packed {
    /// The values as a report shows them. What is left out is marked with `…`.
    pub fn brief(&self) -> Vec<Value> {
        let mut brief = Brief { left: VALUES };
        brief.values(&mut self.reader(), self.len(), DEPTH)
    }
}

struct Brief {
    left: usize,
}

impl Brief {
    /// A single value more than goes is shown too: what was cut before is not cut again.
    fn values(&mut self, reader: &mut Reader<'_>, count: usize, depth: u32) -> Vec<Value> {
        let mut shown = Vec::new();
        for at in 0..count {
            if self.left == 0 && at + 1 < count {
                shown.push(Value::from(format!("… ({} more)", count - at)));
                break;
            }
            shown.push(self.value(reader, depth));
        }
        shown
    }

    fn value(&mut self, reader: &mut Reader<'_>, depth: u32) -> Value {
        self.left = self.left.saturating_sub(1);
        match reader.item() {
            Item::Nil => Value::Nil,
            Item::Bool(flag) => Value::Bool(flag),
            Item::Int(number) => Value::Int(number),
            Item::Float(number) => Value::Float(number),
            Item::Str(bytes) => cut(bytes),
            Item::Error(error) => cut(error.to_string().as_bytes()),
            // It was shown before, or is what it stands in.
            Item::Ref(_) => Value::from("…"),
            Item::Table(head) => {
                let mut content = *reader;
                reader.skip_table(head);
                match depth {
                    0 => Value::from("…"),
                    _ => self.table(head, &mut content, depth - 1),
                }
            }
        }
    }

    fn table(&mut self, head: TableHead, content: &mut Reader<'_>, depth: u32) -> Value {
        let array = self.values(content, head.array as usize, depth);
        // An array that was cut was not read to its end.
        let is_cut = array.len() < head.array as usize;
        let mut pairs = Vec::new();
        for at in 0..head.pairs {
            if is_cut || (self.left == 0 && at + 1 < head.pairs) {
                pairs.push((Value::from("…"), Value::from(format!("{} more", head.pairs - at))));
                break;
            }
            let key = self.value(content, 0);
            pairs.push((key, self.value(content, depth)));
        }
        Value::Table(Box::new(Table {
            array,
            pairs,
            record: head.record,
        }))
    }
}

fn cut(bytes: &[u8]) -> Value {
    if bytes.len() <= TEXT + MARK {
        return Value::str(bytes);
    }
    let text = String::from_utf8_lossy(&bytes[..TEXT]);
    // The character that was cut, if one was.
    let whole = text[..text.floor_char_boundary(TEXT)].trim_end_matches('\u{fffd}');
    Value::from(format!("{whole}… ({} bytes)", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::json;

    fn brief(values: &[Value]) -> String {
        let once = Packed::from_values(values).brief();
        let twice = Packed::from_values(&once).brief();
        assert_eq!(twice, once, "what was cut before is not cut again");
        json::compact(&Value::array(once))
    }

    #[test]
    fn what_is_small_is_shown_as_it_is() {
        let point = Value::map([
            ("x", Value::Int(1)),
            ("list", Value::array([Value::Nil, Value::from("ä")])),
        ]);
        let values = [
            Value::Nil,
            Value::Bool(true),
            Value::Float(1.5),
            point,
            Value::Error(Error::invalid("no")),
        ];
        assert_eq!(brief(&values), r#"[null,true,1.5,{"x":1,"list":[null,"ä"]},"no"]"#);
        assert_eq!(brief(&[]), "[]");
    }

    #[test]
    fn of_what_is_large_the_beginning_is_shown() {
        let text = brief(&[Value::from("ä".repeat(1_000)), Value::Int(7)]);
        assert_eq!(text, format!("[\"{}… (2000 bytes)\",7]", "ä".repeat(TEXT / 2)));
        let odd = brief(&[Value::from(format!("a{}", "ä".repeat(1_000)))]);
        assert_eq!(odd, format!("[\"a{}… (2001 bytes)\"]", "ä".repeat(TEXT / 2 - 1)));
        assert_eq!(brief(&[Value::Str(vec![0xff; 1_000])]), "[\"… (1000 bytes)\"]");
        let numbers = |count: i64| Value::array((1..=count).map(Value::Int));
        assert!(brief(&[numbers(1_000)]).ends_with(",31,\"… (969 more)\"]]"));
        let many: Vec<Value> = (0..100).map(Value::Int).collect();
        assert!(brief(&many).ends_with(",31,\"… (68 more)\"]"));
        let keys: Vec<String> = (0..100).map(|at| format!("k{at}")).collect();
        let object = Value::map(keys.iter().map(|key| (key, Value::Int(1))));
        assert!(brief(&[object, Value::Int(1)]).ends_with("\"k15\":1,\"…\":\"84 more\"},1]"));
        let deep = (0..50).fold(Value::Int(1), |inner, _| Value::array([inner]));
        assert_eq!(brief(&[deep, Value::Int(2)]), "[[[[[\"…\"]]]],2]");
        let wide = (0..3).fold(Value::from("x".repeat(1_000)), |inner, _| {
            Value::array((0..10).map(|_| inner.clone()))
        });
        assert!(brief(&[wide]).len() < VALUES * (TEXT + 32));
    }
}
