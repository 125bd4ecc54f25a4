//! What the sections of a component say before anything is compiled, read in one pass that skips all code.
//!
//! Only as much of the binary format is understood as the questions need. What cannot be read has no answer: whether it
//! is valid is for the compiler to say.

/// Whether the component needs an engine with the component model's concurrency: something in it is asynchronous, or it
/// imports or exports an interface of WASI 0.3, whose functions only such an engine links.
pub fn is_concurrent(component: &[u8]) -> bool {
    matches!(sections(component, 0), Err(Stop::Concurrent))
}

/// The name of the first component that a component imports.
pub fn imported_component(component: &[u8]) -> Option<String> {
    let mut rest = Bytes(component.get(HEADER..)?);
    while !rest.0.is_empty() {
        let (section, mut content) = rest.section().ok()?;
        let count = match section {
            section::IMPORT => content.number().ok()?,
            _ => 0,
        };
        for _ in 0..count {
            let name = content.extern_name().ok()?;
            if content.0.first() == Some(&sort::COMPONENT) {
                return Some(String::from_utf8_lossy(name).into_owned());
            }
            content.extern_type().ok()?;
        }
    }
    None
}

/// Magic number and version.
const HEADER: usize = 8;
/// Beyond this no component is valid; reading one must not take more stack.
const DEEPEST: usize = 100;

mod section {
    pub const COMPONENT: u8 = 4;
    pub const TYPE: u8 = 7;
    pub const CANON: u8 = 8;
    pub const IMPORT: u8 = 10;
    pub const EXPORT: u8 = 11;
}

mod sort {
    pub const CORE: u8 = 0;
    pub const VALUE: u8 = 2;
    pub const TYPE: u8 = 3;
    pub const COMPONENT: u8 = 4;
}

/// Why reading ends before the end.
enum Stop {
    /// The answer is found.
    Concurrent,
    Unreadable,
}

type Read<T = ()> = Result<T, Stop>;

/// All sections of a component and of those inside it.
fn sections(component: &[u8], depth: usize) -> Read {
    let mut rest = Bytes(component.get(HEADER..).ok_or(Stop::Unreadable)?);
    while !rest.0.is_empty() {
        let (section, mut content) = rest.section()?;
        let read = match section {
            section::COMPONENT if depth < DEEPEST => sections(content.0, depth + 1),
            section::TYPE => content.each(|content| content.ty(depth)),
            section::CANON => content.each(Bytes::canon),
            section::IMPORT => content.each(Bytes::import),
            section::EXPORT => content.each(Bytes::export),
            _ => Ok(()),
        };
        // What is not understood of one section says nothing about the others.
        if let Err(Stop::Concurrent) = read {
            return read;
        }
    }
    Ok(())
}

/// An interface of WASI 0.3, a release or what came before it.
fn is_wasi_0_3(name: &[u8]) -> bool {
    let version = |name: &[u8]| name.iter().position(|byte| *byte == b'@').map(|at| at + 1);
    name.starts_with(b"wasi:") && version(name).is_some_and(|at| name[at..].starts_with(b"0.3."))
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Stop::Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    /// A LEB128 number of up to 33 bits; signed ones are only ever skipped.
    fn number(&mut self) -> Read<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::Unreadable)
    }

    fn section(&mut self) -> Read<(u8, Bytes<'a>)> {
        let section = self.byte()?;
        let size = self.number()?;
        Ok((section, Bytes(self.take(size)?)))
    }

    fn name(&mut self) -> Read<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    /// The name of an import or export, with its options.
    fn extern_name(&mut self) -> Read<&'a [u8]> {
        const WITH_OPTIONS: u8 = 2;
        let spelling = self.byte()?;
        let name = self.name()?;
        if spelling == WITH_OPTIONS {
            self.each(|option| option.byte().and_then(|_| option.name()).map(drop))?;
        }
        Ok(name)
    }

    /// A vector.
    fn each(&mut self, mut read: impl FnMut(&mut Self) -> Read) -> Read {
        for _ in 0..self.number()? {
            read(self)?;
        }
        Ok(())
    }

    fn option(&mut self, read: impl FnOnce(&mut Self) -> Read) -> Read {
        match self.byte()? {
            0 => Ok(()),
            _ => read(self),
        }
    }

    fn import(&mut self) -> Read {
        if is_wasi_0_3(self.extern_name()?) {
            return Err(Stop::Concurrent);
        }
        self.extern_type()
    }

    fn export(&mut self) -> Read {
        if is_wasi_0_3(self.extern_name()?) {
            return Err(Stop::Concurrent);
        }
        if self.byte()? == sort::CORE {
            self.byte()?;
        }
        self.number()?;
        self.option(Self::extern_type)
    }

    fn extern_type(&mut self) -> Read {
        match self.byte()? {
            sort::CORE => drop(self.byte()?),
            sort::VALUE => return self.value_type(),
            // A resource type of its own has no index.
            sort::TYPE if self.byte()? == 1 => return Ok(()),
            _ => {}
        }
        self.number().map(drop)
    }

    /// A primitive type or the index of another.
    fn value_type(&mut self) -> Read {
        self.number().map(drop)
    }

    fn labelled(&mut self) -> Read {
        self.name()?;
        self.value_type()
    }

    fn ty(&mut self, depth: usize) -> Read {
        match self.byte()? {
            // Asynchronous functions, futures, streams.
            0x43 | 0x65 | 0x66 => Err(Stop::Concurrent),
            0x40 => self.function(),
            0x41 | 0x42 if depth < DEEPEST => self.each(|content| content.declaration(depth + 1)),
            0x3f => self.byte().and_then(|_| self.option(|dtor| dtor.number().map(drop))),
            // Records; variants; tuples; flags and enums.
            0x72 => self.each(Self::labelled),
            0x71 => self.each(Self::case),
            0x6f => self.each(Self::value_type),
            0x6e | 0x6d => self.each(|content| content.name().map(drop)),
            // Lists, options and handles; lists of a fixed length and maps; results.
            0x70 | 0x6b | 0x69 | 0x68 => self.value_type(),
            0x67 | 0x63 => self.value_type().and_then(|()| self.value_type()),
            0x6a => self
                .option(Self::value_type)
                .and_then(|()| self.option(Self::value_type)),
            // The primitive types.
            0x64 | 0x73..=0x7f => Ok(()),
            _ => Err(Stop::Unreadable),
        }
    }

    fn function(&mut self) -> Read {
        self.each(Self::labelled)?;
        match self.byte()? {
            0 => self.value_type(),
            _ => self.byte().map(drop),
        }
    }

    fn case(&mut self) -> Read {
        self.name()?;
        self.option(Self::value_type)?;
        self.byte().map(drop)
    }

    /// A member of an instance or component type.
    fn declaration(&mut self, depth: usize) -> Read {
        match self.byte()? {
            1 => self.ty(depth),
            2 => self.alias(),
            3 => self.import(),
            4 => self.extern_name().and_then(|_| self.extern_type()),
            _ => Err(Stop::Unreadable),
        }
    }

    fn alias(&mut self) -> Read {
        const OUTER: u8 = 2;
        if self.byte()? == sort::CORE {
            self.byte()?;
        }
        let target = self.byte()?;
        self.number()?;
        match target {
            OUTER => self.number().map(drop),
            _ => self.name().map(drop),
        }
    }

    /// A function between a component and its core modules.
    fn canon(&mut self) -> Read {
        match self.byte()? {
            // `lift` and `lower`.
            0 => {
                self.take(1)?;
                self.number()?;
                self.each(Self::canon_option)?;
                self.number().map(drop)
            }
            1 => {
                self.take(1)?;
                self.number()?;
                self.each(Self::canon_option)
            }
            // `resource.new`, `resource.drop`, `resource.rep`.
            2..=4 => self.number().map(drop),
            // Tasks, streams, futures and what belongs to them.
            _ => Err(Stop::Concurrent),
        }
    }

    fn canon_option(&mut self) -> Read {
        match self.byte()? {
            // `async`, `callback`.
            6 | 7 => Err(Stop::Concurrent),
            // The encodings of strings, and garbage collection.
            0..=2 | 9 => Ok(()),
            _ => self.number().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concurrent(text: &str) -> bool {
        is_concurrent(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn what_is_asynchronous_is_found_wherever_it_stands() {
        for text in [
            "(component (type (func async)))",
            "(component (type (func (param \"a\" u8) (result string))) (type (stream u8)))",
            "(component (type (future)))",
            "(component (component (type (func async))))",
            "(component (type (instance (type (func async)))))",
            "(component (type (component (type (record (field \"a\" u8))) (import \"f\" (func async)))))",
            "(component (type (instance (type (variant (case \"a\") (case \"b\" u8))) (type (stream 0)))))",
            "(component (core func (canon waitable-set.new)))",
            "(component (import \"f\" (func $f)) (core func (canon lower (func $f) async)))",
            "(component (import \"wasi:clocks/system-clock@0.3.0\" (instance)))",
            "(component (import \"wasi:clocks/system-clock@0.3.0-rc-2026-01-06\" (instance)))",
            "(component (instance $i) (export \"wasi:cli/run@0.3.1\" (instance $i)))",
        ] {
            assert!(concurrent(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_asynchronous_is_read_to_its_end() {
        for text in [
            "(component)",
            "(component (type (func (param \"a\" u8) (param \"b\" (list string)) (result (result u8 (error string))))))",
            "(component (type (enum \"a\")) (type (flags \"b\" \"c\")) (type (option u8)) (type (tuple u8 string)))",
            "(component (type (resource (rep i32))) (type (own 0)) (type (borrow 0)))",
            "(component (import \"wasi:cli/run@0.2.0\" (instance (export \"run\" (func (result (result)))))))",
            "(component (import \"acme:wasi/x@0.3.0\" (instance)))",
            "(component (import \"r\" (type $r (sub resource))) (import \"f\" (func (param \"r\" (own $r)))))",
            "(component (import \"f\" (func $f)) (core func (canon lower (func $f))) (export \"g\" (func $f)))",
        ] {
            assert!(!concurrent(text), "{text}");
            // A marker behind everything else is only found by reading all of it.
            let marked = format!("{} (type (func async)))", text.strip_suffix(')').unwrap());
            assert!(concurrent(&marked), "{marked}");
        }
    }

    #[test]
    fn bytes_that_are_no_component_have_no_answer() {
        let whole = wat::parse_str("(component (component (type (record (field \"a\" (list u8))))))").unwrap();
        for end in 0..whole.len() {
            assert!(!is_concurrent(&whole[..end]));
            assert_eq!(imported_component(&whole[..end]), None);
        }
        let mut nested = Vec::new();
        for _ in 0..1_000 {
            let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
            let mut size = nested.len();
            while size >= 0x80 {
                outer.push(size as u8 | 0x80);
                size >>= 7;
            }
            outer.push(size as u8);
            outer.append(&mut nested);
            nested = outer;
        }
        assert!(!is_concurrent(&nested));
    }

    #[test]
    fn an_imported_component_is_found_by_its_name() {
        let bytes = wat::parse_str("(component (import \"f\" (func)) (import \"plugin\" (component)))").unwrap();
        assert_eq!(imported_component(&bytes).as_deref(), Some("plugin"));
    }
}
