//! Towards the guest without values in between: a list as the guest will hold it, made from packed data in one pass and
//! copied into the guest's memory block by block.
//!
//! Only the plain forms are known here, those in which data usually comes. For anything else, and for every mistake,
//! there is no image, and `lower` takes the list or says what is wrong with it.
//!
//! The engine's traits for typed values are implemented by hand, which it allows at one's own risk. What they ask for is
//! little here, since the type is always a list: an address and a length, whatever its elements are. Everything is written
//! through slices of the guest's memory that are checked, so that an image with a wrong layout would harm the guest alone.

use std::mem::{MaybeUninit, size_of};

use wasmtime::ValRaw;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext};
use wasmtime::component::{ComponentType, Lower};

use super::layout::{self, Cases};
use super::lower::{character, enter, integer, resolve};
use super::shape::{Arms, Names, Record, Shape, Variant};
use crate::value::{Item, Reader, TableHead};

/// A list in the layout of the guest's memory, with the strings and lists in it.
#[derive(Debug, PartialEq)]
pub struct Image {
    bytes: Vec<u8>,
    /// The list itself, then what it points to, each after the block that holds its address.
    blocks: Vec<Block>,
}

/// Bytes for which the guest allocates memory of their own.
#[derive(Debug, PartialEq)]
struct Block {
    content: Content,
    /// Where it starts in `bytes`, and how many there are.
    start: usize,
    size: usize,
    /// The block with its address and length, and where in that.
    holder: usize,
    at: usize,
}

#[derive(Debug, PartialEq)]
enum Content {
    Text,
    Elements { count: usize, align: u32 },
}

impl Image {
    /// The image of a `list` with elements of this type. None for anything but plain forms, and for one that takes more than
    /// `left` bytes, from which it is taken.
    pub fn of<'a>(list: &Shape, item: Item<'a>, reader: &mut Reader<'a>, left: &mut usize) -> Option<Image> {
        let image = Image {
            bytes: Vec::new(),
            blocks: Vec::new(),
        };
        let mut imaging = Imaging { image, left };
        imaging.value(list, item, reader, Place { holder: 0, at: 0 })?;
        Some(imaging.image)
    }

    /// Copies it into the guest's memory; gives its address and length.
    fn write<T>(&self, cx: &mut LowerContext<'_, T>) -> wasmtime::Result<(usize, usize)> {
        let is_utf8 = cx.options().string_encoding == StringEncoding::Utf8;
        let mut addresses = Vec::with_capacity(self.blocks.len());
        let mut length = 0;
        for block in &self.blocks {
            let bytes = &self.bytes[block.start..][..block.size];
            // The list itself is not held by any.
            let home = addresses.get(block.holder).map(|address| address + block.at);
            let (count, align) = match (&block.content, home) {
                (Content::Text, Some(home)) if !is_utf8 => {
                    std::str::from_utf8(bytes)?.linear_lower_to_memory(cx, InterfaceType::String, home)?;
                    addresses.push(0);
                    continue;
                }
                (Content::Text, _) => (bytes.len(), 1),
                (Content::Elements { count, align }, _) => (*count, *align),
            };
            let address = cx.realloc(0, 0, align, bytes.len())?;
            let memory = cx.as_slice_mut();
            memory[address..][..bytes.len()].copy_from_slice(bytes);
            match home {
                Some(home) => memory[home..][..layout::PAIR.size].copy_from_slice(&pair(address, count)?),
                None => length = count,
            }
            addresses.push(address);
        }
        let address = addresses.first().copied().unwrap_or_default();
        Ok((address, length))
    }
}

fn pair(address: usize, length: usize) -> wasmtime::Result<[u8; 8]> {
    let [address, length] = [u32::try_from(address)?, u32::try_from(length)?];
    Ok((u64::from(length) << 32 | u64::from(address)).to_le_bytes())
}

// SAFETY: `Lower` and `ABI` are those of every list, and the type check lets nothing else pass.
unsafe impl ComponentType for Image {
    type Lower = [ValRaw; 2];

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(ty: &InterfaceType, _: &InstanceType<'_>) -> wasmtime::Result<()> {
        expect_list(ty)
    }
}

/// That the elements fit is known from the signature, which was made of the same function.
pub(super) fn expect_list(ty: &InterfaceType) -> wasmtime::Result<()> {
    match ty {
        InterfaceType::List(_) => Ok(()),
        _ => Err(wasmtime::Error::msg("the function's type is no list")),
    }
}

// SAFETY: both values of `Lower` are written, in all of their bits; memory is only reached through checked slices.
unsafe impl Lower for Image {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; 2]>,
    ) -> wasmtime::Result<()> {
        let (address, length) = self.write(cx)?;
        dst.write([address, length].map(|number| ValRaw::u64(number as u64)));
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        let (address, length) = self.write(cx)?;
        *cx.get(offset) = pair(address, length)?;
        Ok(())
    }
}

/// Where a value goes: a place in `bytes`, in the block `holder`.
#[derive(Clone, Copy)]
struct Place {
    holder: usize,
    at: usize,
}

impl Place {
    fn plus(self, offset: usize) -> Place {
        Place {
            at: self.at + offset,
            ..self
        }
    }
}

/// One list on its way into an image. Every step gives none for what has no image.
struct Imaging<'l> {
    image: Image,
    /// Bytes that may still be taken.
    left: &'l mut usize,
}

impl Imaging<'_> {
    fn value<'a>(&mut self, shape: &Shape, item: Item<'a>, reader: &mut Reader<'a>, place: Place) -> Option<()> {
        match (shape, item) {
            (Shape::Bool, Item::Bool(flag)) => self.put(place, &[u8::from(flag)]),
            (Shape::Int(int), item) => {
                let number = integer(*int, &item).ok()? as u64;
                self.put(place, &number.to_le_bytes()[..int.size()]);
            }
            (Shape::F32, Item::Int(number)) => self.put(place, &(number as f32).to_le_bytes()),
            (Shape::F32, Item::Float(number)) => self.put(place, &(number as f32).to_le_bytes()),
            (Shape::F64, Item::Int(number)) => self.put(place, &(number as f64).to_le_bytes()),
            (Shape::F64, Item::Float(number)) => self.put(place, &number.to_le_bytes()),
            (Shape::Char, Item::Str(bytes)) => {
                self.put(place, &u32::from(character(bytes).ok()?).to_le_bytes());
            }
            (Shape::String, Item::Str(bytes)) => {
                std::str::from_utf8(bytes).ok()?;
                self.copy(Content::Text, bytes, place)?;
            }
            (Shape::List(_), Item::Str(bytes)) if shape.is_bytes() => {
                let count = bytes.len();
                self.copy(Content::Elements { count, align: 1 }, bytes, place)?;
            }
            (Shape::List(list), Item::Table(head)) => self.list(&list.element, head, enter(head, reader), place)?,
            (Shape::Record(record), Item::Table(head)) => self.record(record, head, enter(head, reader), place)?,
            (Shape::Tuple(members), Item::Table(head)) => self.tuple(members, head, enter(head, reader), place)?,
            (Shape::Variant(variant), item) => self.variant(variant, item, reader, place)?,
            (Shape::Enum(names), Item::Str(text)) => self.case(names.cases(), names.find(text)?, place),
            (Shape::Option(_), Item::Nil) => {}
            (Shape::Option(inner), item) => {
                let cases = layout::option(inner);
                self.case(cases, 1, place);
                self.value(inner, item, reader, place.plus(cases.payload))?;
            }
            (Shape::Result(arms), Item::Table(head)) => self.result(arms, head, enter(head, reader), place)?,
            (Shape::Flags(names), Item::Table(head)) => self.flags(names, head, enter(head, reader), place)?,
            _ => return None,
        }
        Some(())
    }

    /// The next value, wherever it stands.
    fn next<'a>(&mut self, shape: &Shape, reader: &mut Reader<'a>, place: Place) -> Option<()> {
        let (item, mut there) = resolve(reader);
        self.value(shape, item, there.as_mut().unwrap_or(reader), place)
    }

    fn put(&mut self, place: Place, bytes: &[u8]) {
        self.image.bytes[place.at..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Begins a block whose address will stand at that place. Its bytes are to follow.
    fn block(&mut self, content: Content, size: usize, place: Place) -> Option<()> {
        *self.left = self.left.checked_sub(size.checked_add(size_of::<Block>())?)?;
        let holder = self.image.blocks.get(place.holder).map_or(0, |holder| holder.start);
        self.image.blocks.push(Block {
            content,
            start: self.image.bytes.len(),
            size,
            holder: place.holder,
            at: place.at - holder,
        });
        Some(())
    }

    fn copy(&mut self, content: Content, bytes: &[u8], place: Place) -> Option<()> {
        self.block(content, bytes.len(), place)?;
        self.image.bytes.extend_from_slice(bytes);
        Some(())
    }

    fn list(&mut self, element: &Shape, head: TableHead, mut content: Reader<'_>, place: Place) -> Option<()> {
        let (count, layout) = (head.array as usize, element.layout());
        let elements = Content::Elements {
            count,
            align: layout.align as u32,
        };
        let size = count.checked_mul(layout.size)?;
        self.block(elements, size, place)?;
        let first = Place {
            holder: self.image.blocks.len() - 1,
            at: self.image.bytes.len(),
        };
        self.image.bytes.resize(first.at + size, 0);
        (0..count).try_for_each(|index| self.next(element, &mut content, first.plus(index * layout.size)))?;
        is_sequence(head, content).then_some(())
    }

    fn record(&mut self, record: &Record, head: TableHead, mut content: Reader<'_>, place: Place) -> Option<()> {
        if head.array > 0 {
            return None;
        }
        let (mut found, mut guess) = (0_u64, 0);
        for _ in 0..head.pairs {
            let Item::Str(key) = content.item() else { return None };
            let index = record.names.find_either(key, guess)?;
            if found & 1 << index != 0 {
                return None;
            }
            found |= 1 << index;
            guess = index + 1;
            self.next(&record.fields[index], &mut content, place.plus(record.offsets[index]))?;
        }
        let is_there = |(index, field): (usize, &Shape)| found & 1 << index != 0 || field.is_option();
        record.fields.iter().enumerate().all(is_there).then_some(())
    }

    fn tuple(&mut self, members: &[Shape], head: TableHead, mut content: Reader<'_>, place: Place) -> Option<()> {
        if head.array as usize != members.len() {
            return None;
        }
        let mut end: usize = 0;
        for member in members {
            let layout = member.layout();
            let start = end.next_multiple_of(layout.align);
            self.next(member, &mut content, place.plus(start))?;
            end = start + layout.size;
        }
        is_sequence(head, content).then_some(())
    }

    fn case(&mut self, cases: Cases, index: usize, place: Place) {
        self.put(place, &index.to_le_bytes()[..cases.discriminant]);
    }

    fn variant<'a>(&mut self, variant: &Variant, item: Item<'a>, reader: &mut Reader<'a>, place: Place) -> Option<()> {
        let cases = variant.cases();
        match item {
            Item::Str(name) => {
                let index = variant.names.find(name)?;
                self.case(cases, index, place);
                variant.payloads[index].is_none().then_some(())
            }
            Item::Table(head) if (head.array, head.pairs) == (0, 1) => {
                let mut content = enter(head, reader);
                let Item::Str(name) = content.item() else { return None };
                let index = variant.names.find(name)?;
                self.case(cases, index, place);
                let payload = variant.payloads[index].as_ref()?;
                self.next(payload, &mut content, place.plus(cases.payload))
            }
            _ => None,
        }
    }

    fn result(&mut self, arms: &Arms, head: TableHead, mut content: Reader<'_>, place: Place) -> Option<()> {
        if (head.array, head.pairs) != (0, 1) {
            return None;
        }
        let (index, payload) = match content.item() {
            Item::Str(b"ok") => (0, &arms.ok),
            Item::Str(b"err") => (1, &arms.err),
            _ => return None,
        };
        let cases = arms.cases();
        self.case(cases, index, place);
        match payload {
            Some(payload) => self.next(payload, &mut content, place.plus(cases.payload)),
            None => (content.item() == Item::Bool(true)).then_some(()),
        }
    }

    fn flags(&mut self, names: &Names, head: TableHead, mut content: Reader<'_>, place: Place) -> Option<()> {
        if head.array > 0 {
            return None;
        }
        for _ in 0..head.pairs {
            let Item::Str(name) = content.item() else { return None };
            let index = names.find(name)?;
            let Item::Bool(on) = content.item() else { return None };
            self.image.bytes[place.at + index / 8] |= u8::from(on) << (index % 8);
        }
        Some(())
    }
}

/// Whether nothing stands behind the array part but its length, as field `n`. The reader has read the array part.
fn is_sequence(head: TableHead, mut pairs: Reader<'_>) -> bool {
    let mut is_length = || (pairs.item(), pairs.item()) == (Item::Str(b"n"), Item::Int(i64::from(head.array)));
    head.pairs == 0 || head.pairs == 1 && is_length()
}
