//! How the canonical ABI lays a value out in a guest's linear memory: sizes, alignments and the places of fields and
//! payloads. Addresses are 32 bits wide, as everywhere in components.
//!
//! [`Shape::has_image`] says which types `image` and `view` know. What it leaves out is rare or has a form of its own in
//! Lua, and takes the way of dynamic values.

use super::shape::{Arms, Names, Shape, Variant};

/// The room that a value takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub size: usize,
    pub align: usize,
}

/// The room of a type with cases, and where the payload of a case stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cases {
    pub layout: Layout,
    /// Bytes of the discriminant, which stands at the start.
    pub discriminant: usize,
    pub payload: usize,
}

/// An address and a length: what a string or a list is in memory.
pub const PAIR: Layout = Layout { size: 8, align: 4 };

impl Layout {
    const fn of_size(size: usize) -> Layout {
        Layout { size, align: size }
    }

    /// The room of values that stand one after the other, and where each starts.
    pub fn sequence(members: impl IntoIterator<Item = Layout>) -> (Layout, Vec<usize>) {
        let mut all = Layout { size: 0, align: 1 };
        let offsets = members.into_iter().map(|member| {
            let offset = all.size.next_multiple_of(member.align);
            all.size = offset.saturating_add(member.size);
            all.align = all.align.max(member.align);
            offset
        });
        let offsets = offsets.collect();
        all.size = all.size.next_multiple_of(all.align);
        (all, offsets)
    }
}

impl Cases {
    fn of(count: usize, payloads: impl Iterator<Item = Layout>) -> Cases {
        let discriminant = match count {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let none = Layout { size: 0, align: 1 };
        let payload = payloads.fold(none, |all, payload| Layout {
            size: all.size.max(payload.size),
            align: all.align.max(payload.align),
        });
        let align = payload.align.max(discriminant);
        let start = discriminant.next_multiple_of(payload.align);
        let size = (start + payload.size).next_multiple_of(align);
        Cases {
            layout: Layout { size, align },
            discriminant,
            payload: start,
        }
    }
}

impl Variant {
    pub fn cases(&self) -> Cases {
        Cases::of(self.names.len(), self.payloads.iter().flatten().map(Shape::layout))
    }
}

impl Arms {
    pub fn cases(&self) -> Cases {
        Cases::of(2, [&self.ok, &self.err].into_iter().flatten().map(Shape::layout))
    }
}

impl Names {
    /// As the cases of an enum.
    pub fn cases(&self) -> Cases {
        Cases::of(self.len(), std::iter::empty())
    }

    /// As flags: a bit each, in words of 32 bits if they are many.
    fn bits(&self) -> Layout {
        match self.len() {
            0..=8 => Layout::of_size(1),
            9..=16 => Layout::of_size(2),
            many => Layout {
                size: many.div_ceil(32) * 4,
                align: 4,
            },
        }
    }
}

/// An option of that value.
pub fn option(inner: &Shape) -> Cases {
    Cases::of(2, std::iter::once(inner.layout()))
}

impl Shape {
    pub fn layout(&self) -> Layout {
        match self {
            Shape::Bool => Layout::of_size(1),
            Shape::Int(int) => Layout::of_size(int.size()),
            Shape::F32 | Shape::Char => Layout::of_size(4),
            Shape::F64 => Layout::of_size(8),
            Shape::String | Shape::Map(_) => PAIR,
            Shape::List(list) => match list.length {
                None => PAIR,
                Some(length) => {
                    let element = list.element.layout();
                    let size = element.size.saturating_mul(length as usize);
                    Layout { size, ..element }
                }
            },
            Shape::Record(record) => record.layout,
            Shape::Tuple(members) => Layout::sequence(members.iter().map(Shape::layout)).0,
            Shape::Variant(variant) => variant.cases().layout,
            Shape::Enum(names) => names.cases().layout,
            Shape::Option(inner) => option(inner).layout,
            Shape::Result(arms) => arms.cases().layout,
            Shape::Flags(names) => names.bits(),
            // A handle.
            Shape::Refused(_) => Layout::of_size(4),
        }
    }

    /// Whether `image` and `view` know the type.
    pub fn has_image(&self) -> bool {
        // An option that is a payload has forms of its own in Lua.
        let payload = |shape: &Option<Shape>| {
            shape
                .as_ref()
                .is_none_or(|shape| !shape.is_option() && shape.has_image())
        };
        match self {
            Shape::Map(_) | Shape::Refused(_) => false,
            Shape::List(list) => {
                // Elements without a size would be a length without an end.
                list.length.is_none() && list.element.has_image() && list.element.layout().size > 0
            }
            Shape::Record(record) => record.fields.len() <= MOST_FIELDS && record.fields.iter().all(Shape::has_image),
            Shape::Tuple(members) => members.iter().all(Shape::has_image),
            Shape::Variant(variant) => variant.payloads.iter().all(payload),
            Shape::Option(inner) => !inner.is_option() && inner.has_image(),
            Shape::Result(arms) => payload(&arms.ok) && payload(&arms.err),
            _ => true,
        }
    }
}

/// Fields of a record that are noted in one word as found.
const MOST_FIELDS: usize = u64::BITS as usize;
