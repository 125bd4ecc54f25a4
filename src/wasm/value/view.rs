//! Back from the guest without values in between: a list in the guest's memory, read in one pass into packed data.
//!
//! What it makes is what `lift` makes of the same value. It follows the engine's own description of the type, because that
//! is what the engine gives it; [`Shape::has_image`](super::shape::Shape::has_image) says which types come here. Every
//! address that the guest gives is checked before it is followed, and what is written is charged against the limit on
//! transfers as it is written, since a few bytes of a guest can stand for many.

use wasmtime::ValRaw;
use wasmtime::component::__internal::wasmtime_environ::component::{
    ComponentTypes, StringEncoding, TypeFlags, TypeListIndex, TypeRecord, TypeResult, TypeVariant, VariantInfo,
};
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Lift};

use super::image::expect_list;
use super::lift::check_room;
use crate::value::{Packed, Packer, TableMark};

/// A list that a guest returned.
pub struct Viewed(pub Packed);

// SAFETY: `Lower` and `ABI` are those of every list, and the type check lets nothing else pass.
unsafe impl ComponentType for Viewed {
    type Lower = [ValRaw; 2];

    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(ty: &InterfaceType, _: &InstanceType<'_>) -> wasmtime::Result<()> {
        expect_list(ty)
    }
}

// SAFETY: memory is only read through checked slices.
unsafe impl Lift for Viewed {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &[ValRaw; 2],
    ) -> wasmtime::Result<Viewed> {
        view(cx, ty, (src[0].get_u32(), src[1].get_u32()))
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> wasmtime::Result<Viewed> {
        view(cx, ty, pair(bytes))
    }
}

fn view(cx: &mut LiftContext<'_>, ty: InterfaceType, pair: (u32, u32)) -> wasmtime::Result<Viewed> {
    let mut viewing = Viewing {
        types: cx.types,
        memory: cx.memory(),
        is_utf8: cx.options().string_encoding == StringEncoding::Utf8,
        packer: Packer::new(),
        charged: 0,
        cx,
    };
    match ty {
        InterfaceType::List(list) => viewing.list(list, pair)?,
        _ => return Err(unknown()),
    }
    Ok(Viewed(viewing.packer.finish()))
}

/// An address and a length.
fn pair(bytes: &[u8]) -> (u32, u32) {
    (number(&bytes[..4]) as u32, number(&bytes[4..8]) as u32)
}

/// At most eight bytes as a number.
fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

fn unknown() -> wasmtime::Error {
    wasmtime::Error::msg("a type of this kind is not read from memory")
}

struct Viewing<'c, 'a> {
    cx: &'c mut LiftContext<'a>,
    types: &'a ComponentTypes,
    memory: &'a [u8],
    is_utf8: bool,
    packer: Packer,
    /// Bytes of the packer that are accounted for.
    charged: usize,
}

impl<'a> Viewing<'_, 'a> {
    /// Accounts for what was written, and for `more` bytes that are about to be.
    fn charge(&mut self, more: usize) -> wasmtime::Result<()> {
        check_room(&self.packer, more).map_err(wasmtime::Error::new)?;
        let size = self.packer.size() + more;
        self.cx.consume_fuel(size.saturating_sub(self.charged))?;
        self.charged = size;
        Ok(())
    }

    fn value(&mut self, ty: InterfaceType, bytes: &'a [u8]) -> wasmtime::Result<()> {
        let types = self.types;
        match ty {
            InterfaceType::Bool => self.packer.bool(bytes[0] != 0),
            InterfaceType::S8 => self.packer.int(i64::from(bytes[0] as i8)),
            InterfaceType::S16 => self.packer.int(i64::from(number(&bytes[..2]) as i16)),
            InterfaceType::S32 => self.packer.int(i64::from(number(&bytes[..4]) as i32)),
            InterfaceType::U8 => self.packer.int(i64::from(bytes[0])),
            InterfaceType::U16 => self.packer.int(number(&bytes[..2]) as i64),
            InterfaceType::U32 => self.packer.int(number(&bytes[..4]) as i64),
            // Bit for bit, as Lua itself treats unsigned numbers.
            InterfaceType::S64 | InterfaceType::U64 => self.packer.int(number(&bytes[..8]) as i64),
            InterfaceType::Float32 => {
                let float = f32::from_bits(number(&bytes[..4]) as u32);
                self.packer.float(f64::from(float));
            }
            InterfaceType::Float64 => self.packer.float(f64::from_bits(number(&bytes[..8]))),
            InterfaceType::Char => self.char(number(&bytes[..4]) as u32)?,
            InterfaceType::String => return self.string(bytes),
            InterfaceType::List(list) => self.list(list, pair(bytes))?,
            InterfaceType::Record(record) => self.record(&types[record], bytes)?,
            InterfaceType::Tuple(tuple) => self.tuple(&types[tuple].types, bytes)?,
            InterfaceType::Variant(variant) => self.variant(&types[variant], bytes)?,
            InterfaceType::Enum(names) => {
                let (info, names) = (&types[names].info, &types[names].names);
                let case = discriminant(info, bytes, names.len())?;
                self.packer.str(names[case].as_bytes());
            }
            InterfaceType::Option(option) => {
                let option = &types[option];
                match discriminant(&option.info, bytes, 2)? {
                    0 => self.packer.nil(),
                    _ => self.value(option.ty, payload(&option.info, bytes))?,
                }
            }
            InterfaceType::Result(result) => self.result(&types[result], bytes)?,
            InterfaceType::Flags(flags) => self.flags(&types[flags], bytes),
            _ => return Err(unknown()),
        }
        self.charge(0)
    }

    fn char(&mut self, number: u32) -> wasmtime::Result<()> {
        let char =
            char::from_u32(number).ok_or_else(|| wasmtime::Error::msg("converted integer out of range for `char`"))?;
        self.packer.str(char.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// So many bytes at that address.
    fn at(&self, (address, size): (u32, usize), align: u32, what: &str) -> wasmtime::Result<&'a [u8]> {
        if !address.is_multiple_of(align) {
            return Err(wasmtime::Error::msg(format!("{what} pointer is not aligned")));
        }
        let there = self.memory.get(address as usize..).and_then(|there| there.get(..size));
        there.ok_or_else(|| wasmtime::Error::msg(format!("{what} pointer/length out of bounds of memory")))
    }

    fn string(&mut self, bytes: &'a [u8]) -> wasmtime::Result<()> {
        if !self.is_utf8 {
            let text = String::linear_lift_from_memory(self.cx, InterfaceType::String, bytes)?;
            return self.str(text.as_bytes());
        }
        let (address, length) = pair(bytes);
        let bytes = self.at((address, length as usize), 1, "string")?;
        std::str::from_utf8(bytes)?;
        self.str(bytes)
    }

    fn str(&mut self, bytes: &[u8]) -> wasmtime::Result<()> {
        self.charge(bytes.len())?;
        self.packer.str(bytes);
        Ok(())
    }

    fn list(&mut self, list: TypeListIndex, (address, length): (u32, u32)) -> wasmtime::Result<()> {
        let types = self.types;
        let element = types[list].element;
        let abi = types.canonical_abi(&element);
        let size = (abi.size32 as usize)
            .checked_mul(length as usize)
            .ok_or_else(|| wasmtime::Error::msg("list pointer/length out of bounds of memory"))?;
        let bytes = self.at((address, size), abi.align32, "list")?;
        if element == InterfaceType::U8 {
            return self.str(bytes);
        }
        let mark = self.packer.open(false);
        for bytes in bytes.chunks_exact(abi.size32 as usize) {
            self.value(element, bytes)?;
        }
        self.end_array(mark, length, matches!(element, InterfaceType::Option(_)));
        Ok(())
    }

    fn end_array(&mut self, mark: TableMark, length: u32, with_n: bool) {
        if with_n {
            self.packer.str(b"n");
            self.packer.int(i64::from(length));
        }
        self.packer.close(mark, length, u32::from(with_n));
    }

    fn record(&mut self, record: &'a TypeRecord, bytes: &'a [u8]) -> wasmtime::Result<()> {
        let mark = self.packer.open(true);
        let (mut offset, mut pairs) = (0, 0);
        for field in &record.fields {
            let abi = self.types.canonical_abi(&field.ty);
            let bytes = &bytes[abi.next_field32_size(&mut offset)..][..abi.size32 as usize];
            if !self.is_none(field.ty, bytes)? {
                self.packer.str(field.name.as_bytes());
                self.value(field.ty, bytes)?;
                pairs += 1;
            }
        }
        self.packer.close(mark, 0, pairs);
        Ok(())
    }

    fn is_none(&self, ty: InterfaceType, bytes: &[u8]) -> wasmtime::Result<bool> {
        match ty {
            InterfaceType::Option(option) => Ok(discriminant(&self.types[option].info, bytes, 2)? == 0),
            _ => Ok(false),
        }
    }

    fn tuple(&mut self, members: &'a [InterfaceType], bytes: &'a [u8]) -> wasmtime::Result<()> {
        let mark = self.packer.open(false);
        let mut offset = 0;
        for &member in members {
            let abi = self.types.canonical_abi(&member);
            let start = abi.next_field32_size(&mut offset);
            self.value(member, &bytes[start..][..abi.size32 as usize])?;
        }
        let is_option = |member: &InterfaceType| matches!(member, InterfaceType::Option(_));
        self.end_array(mark, members.len() as u32, members.iter().any(is_option));
        Ok(())
    }

    fn variant(&mut self, variant: &'a TypeVariant, bytes: &'a [u8]) -> wasmtime::Result<()> {
        let case = discriminant(&variant.info, bytes, variant.cases.len())?;
        match variant.cases.get_index(case).ok_or_else(unknown)? {
            (name, Some(ty)) => self.single(name, *ty, payload(&variant.info, bytes))?,
            (name, None) => self.packer.str(name.as_bytes()),
        }
        Ok(())
    }

    fn result(&mut self, result: &'a TypeResult, bytes: &'a [u8]) -> wasmtime::Result<()> {
        let (name, ty) = match discriminant(&result.info, bytes, 2)? {
            0 => ("ok", result.ok),
            _ => ("err", result.err),
        };
        if let Some(ty) = ty {
            return self.single(name, ty, payload(&result.info, bytes));
        }
        let mark = self.packer.open(false);
        self.packer.str(name.as_bytes());
        self.packer.bool(true);
        self.packer.close(mark, 0, 1);
        Ok(())
    }

    /// `{name = value}`.
    fn single(&mut self, name: &str, ty: InterfaceType, bytes: &'a [u8]) -> wasmtime::Result<()> {
        let mark = self.packer.open(false);
        self.packer.str(name.as_bytes());
        self.value(ty, bytes)?;
        self.packer.close(mark, 0, 1);
        Ok(())
    }

    fn flags(&mut self, flags: &'a TypeFlags, bytes: &[u8]) {
        let mark = self.packer.open(false);
        let is_set = |index: usize| bytes[index / 8] & 1 << (index % 8) != 0;
        let mut pairs = 0;
        for (_, name) in flags.names.iter().enumerate().filter(|(index, _)| is_set(*index)) {
            self.packer.str(name.as_bytes());
            self.packer.bool(true);
            pairs += 1;
        }
        self.packer.close(mark, 0, pairs);
    }
}

/// Which of `count` cases it is.
fn discriminant(info: &VariantInfo, bytes: &[u8], count: usize) -> wasmtime::Result<usize> {
    let case = number(&bytes[..usize::from(info.size)]) as usize;
    match case < count {
        true => Ok(case),
        false => Err(wasmtime::Error::msg(format!(
            "discriminant {case} out of range [0..{count})"
        ))),
    }
}

/// Where the payload starts; a larger one of another case may go on behind it.
fn payload<'a>(info: &VariantInfo, bytes: &'a [u8]) -> &'a [u8] {
    &bytes[info.payload_offset32 as usize..]
}
