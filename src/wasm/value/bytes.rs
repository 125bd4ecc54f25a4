//! Calls whose `list<u8>` travels as bytes.
//!
//! The engine's dynamic values cost 32 bytes for each byte of a list, which would end a call with 4 MiB at the default
//! transfer limit. Functions that take or give whole byte strings, alone or next to a string or a number, are therefore
//! called through the engine's typed interface. Which forms are worth it is listed in [`Form`] and
//! [`Signature::call`]; everything else, and every argument that is not simply a string of the right kind, takes the way
//! of dynamic values, whose errors are the only ones there are.

use wasmtime::component::{ComponentNamedList, Func, Lift, Lower, Val};
use wasmtime::{AsContextMut, StoreContextMut};

use super::Signature;
use super::lift::check_room;
use super::shape::{Int, Shape};
use crate::error::Result;
use crate::value::{Item, Packed, Packer};

/// The lowered arguments of a call.
#[derive(Debug, PartialEq)]
pub enum Arguments {
    Values(Vec<Val>),
    Typed(Vec<Argument>, Form),
}

/// An argument of a typed call.
#[derive(Debug, PartialEq)]
pub enum Argument {
    Bytes(Vec<u8>),
    Text(String),
    Number(u32),
}

/// What a typed call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Nothing,
    Number,
    Text,
    Bytes,
    /// `result<list<u8>, string>`.
    BytesOrText,
}

/// What a call returned.
#[derive(Debug, PartialEq)]
pub enum Returned {
    Values(Vec<Val>),
    Bytes(Vec<u8>),
    /// The `ok` of a result.
    OkBytes(Vec<u8>),
}

impl Form {
    fn of(result: Option<&Shape>) -> Option<Form> {
        Some(match result {
            None => Form::Nothing,
            Some(Shape::Int(Int::U32)) => Form::Number,
            Some(Shape::String) => Form::Text,
            Some(shape) if is_byte_list(shape) => Form::Bytes,
            Some(Shape::Result(arms)) => match (&arms.ok, &arms.err) {
                (Some(ok), Some(Shape::String)) if is_byte_list(ok) => Form::BytesOrText,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// `list<u8>` of any length; a fixed one is no pointer in the guest.
fn is_byte_list(shape: &Shape) -> bool {
    matches!(shape, Shape::List(list) if list.element == Shape::Int(Int::U8) && list.length.is_none())
}

impl Signature {
    /// The arguments of a call by the best way; see [`lower`](Signature::lower).
    ///
    /// # Errors
    /// As [`lower`](Signature::lower).
    pub fn prepare(&self, args: &Packed, max_transfer: u64) -> Result<Arguments> {
        match self.typed(args, max_transfer) {
            Some(arguments) => Ok(arguments),
            None => self.lower(args, max_transfer).map(Arguments::Values),
        }
    }

    /// The arguments of a typed call, if it can be one.
    fn typed(&self, args: &Packed, max_transfer: u64) -> Option<Arguments> {
        let form = Form::of(self.result.as_ref())?;
        let moves_bytes = self.params.iter().any(|(_, shape)| is_byte_list(shape));
        let gives_bytes = matches!(form, Form::Bytes | Form::BytesOrText);
        if args.len() != self.params.len() || args.size() as u64 > max_transfer || !(moves_bytes || gives_bytes) {
            return None;
        }
        let mut reader = args.reader();
        let arguments = self.params.iter().map(|(_, shape)| argument(shape, &reader.item()));
        let arguments: Vec<Argument> = arguments.collect::<Option<_>>()?;
        is_callable(&arguments).then_some(Arguments::Typed(arguments, form))
    }

    /// Calls the component's function that this signature was made of.
    ///
    /// # Errors
    /// As the engine's `call_async`: traps, limits, values that the guest got wrong.
    pub async fn call<T: Send + 'static>(
        &self,
        function: &Func,
        store: StoreContextMut<'_, T>,
        arguments: &Arguments,
    ) -> wasmtime::Result<Returned> {
        let (arguments, form) = match arguments {
            Arguments::Typed(arguments, form) => (arguments.as_slice(), *form),
            Arguments::Values(values) => return self.call_with_values(function, store, values).await,
        };
        match arguments {
            [] => bytes(function, store, (), form).await,
            [Argument::Number(number)] => bytes(function, store, (*number,), form).await,
            [Argument::Text(text)] => bytes(function, store, (text.as_str(),), form).await,
            [Argument::Bytes(one)] => any(function, store, (one.as_slice(),), form).await,
            [Argument::Text(text), Argument::Bytes(one)] => {
                any(function, store, (text.as_str(), one.as_slice()), form).await
            }
            [Argument::Bytes(one), Argument::Bytes(two)] => {
                any(function, store, (one.as_slice(), two.as_slice()), form).await
            }
            _ => Err(unlisted()),
        }
    }

    async fn call_with_values<T: Send + 'static>(
        &self,
        function: &Func,
        mut store: StoreContextMut<'_, T>,
        values: &[Val],
    ) -> wasmtime::Result<Returned> {
        let mut results = vec![Val::Bool(false); usize::from(self.result.is_some())];
        function
            .call_async(store.as_context_mut(), values, &mut results)
            .await?;
        Ok(Returned::Values(results))
    }
}

fn argument(shape: &Shape, item: &Item<'_>) -> Option<Argument> {
    match (shape, item) {
        (Shape::String, Item::Str(bytes)) => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(Argument::Text(text.to_owned()))
        }
        (Shape::Int(Int::U32), Item::Int(number)) => u32::try_from(*number).ok().map(Argument::Number),
        (shape, Item::Str(bytes)) if is_byte_list(shape) => Some(Argument::Bytes(bytes.to_vec())),
        _ => None,
    }
}

/// Whether [`Signature::call`] lists these types.
fn is_callable(arguments: &[Argument]) -> bool {
    matches!(
        arguments,
        [] | [_] | [Argument::Text(_) | Argument::Bytes(_), Argument::Bytes(_)]
    )
}

fn unlisted() -> wasmtime::Error {
    wasmtime::Error::msg("a typed call of this form is not listed")
}

/// A call that may return anything in the list.
async fn any<T: Send + 'static, P: ComponentNamedList + Lower>(
    function: &Func,
    store: StoreContextMut<'_, T>,
    params: P,
    form: Form,
) -> wasmtime::Result<Returned> {
    let value = match form {
        Form::Bytes | Form::BytesOrText => return bytes(function, store, params, form).await,
        Form::Nothing => {
            typed::<T, P, ()>(function, store, params).await?;
            return Ok(Returned::Values(Vec::new()));
        }
        Form::Number => Val::U32(typed::<T, P, (u32,)>(function, store, params).await?.0),
        Form::Text => Val::String(typed::<T, P, (String,)>(function, store, params).await?.0),
    };
    Ok(Returned::Values(vec![value]))
}

/// A call that returns bytes.
async fn bytes<T: Send + 'static, P: ComponentNamedList + Lower>(
    function: &Func,
    store: StoreContextMut<'_, T>,
    params: P,
    form: Form,
) -> wasmtime::Result<Returned> {
    type Bytes = Vec<u8>;
    match form {
        Form::Bytes => Ok(Returned::Bytes(
            typed::<T, P, (Bytes,)>(function, store, params).await?.0,
        )),
        Form::BytesOrText => {
            let (result,) = typed::<T, P, (std::result::Result<Bytes, String>,)>(function, store, params).await?;
            Ok(match result {
                Ok(bytes) => Returned::OkBytes(bytes),
                Err(text) => Returned::Values(vec![Val::Result(Err(Some(Box::new(Val::String(text)))))]),
            })
        }
        _ => Err(unlisted()),
    }
}

async fn typed<T: Send + 'static, P: ComponentNamedList + Lower, R: ComponentNamedList + Lift + 'static>(
    function: &Func,
    mut store: StoreContextMut<'_, T>,
    params: P,
) -> wasmtime::Result<R> {
    let function = function.typed::<P, R>(store.as_context_mut())?;
    function.call_async(store, params).await
}

impl Returned {
    /// Whether it is an `err` at the top.
    pub fn is_err(&self) -> bool {
        matches!(self, Returned::Values(values) if matches!(values.as_slice(), [Val::Result(Err(_))]))
    }

    /// The value of a call; see [`lift`](Signature::lift).
    ///
    /// # Errors
    /// As [`lift`](Signature::lift).
    pub fn lift(&self, signature: &Signature) -> Result<Packed> {
        match self {
            Returned::Values(values) => signature.lift(values),
            Returned::Bytes(bytes) => pack_bytes(bytes, false),
            Returned::OkBytes(bytes) => pack_bytes(bytes, true),
        }
    }

    /// The outcome of a process; see [`outcome`](Signature::outcome).
    ///
    /// # Errors
    /// As [`outcome`](Signature::outcome).
    pub fn outcome(&self, signature: &Signature) -> Result<Packed> {
        match self {
            Returned::Values(values) => signature.outcome(values),
            Returned::Bytes(bytes) | Returned::OkBytes(bytes) => pack_bytes(bytes, false),
        }
    }
}

/// The bytes as a value, alone or as `{ok = bytes}`.
fn pack_bytes(bytes: &[u8], in_ok: bool) -> Result<Packed> {
    let mut packer = Packer::new();
    check_room(&packer, bytes.len())?;
    let mark = in_ok.then(|| packer.open(false));
    if in_ok {
        packer.str(b"ok");
    }
    packer.str(bytes);
    if let Some(mark) = mark {
        packer.close(mark, 0, 1);
    }
    Ok(packer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;
    use wasmtime::component::{Component, Linker};
    use wasmtime::{Engine, Store};

    /// Gives back "hello", or for an empty list `err("hello")`.
    const MAYBE: &str = r#"(component
        (core module $m
            (memory (export "memory") 1)
            (data (i32.const 16) "hello")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "maybe") (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 0) (i32.eqz (local.get $len)))
                (i32.store (i32.const 4) (i32.const 16))
                (i32.store (i32.const 8) (i32.const 5))
                (i32.const 0))
            (func (export "longer") (param i32 i32 i32 i32) (result i32)
                (i32.gt_u (local.get 1) (local.get 3))))
        (core instance $i (instantiate $m))
        (func (export "maybe") (param "data" (list u8)) (result (result (list u8) (error string)))
            (canon lift (core func $i "maybe")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (func (export "longer") (param "name" string) (param "data" (list u8)) (result u32)
            (canon lift (core func $i "longer")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

    fn types() -> Vec<u8> {
        std::fs::read(format!("{}/fixtures/wasm/types.wasm", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// Calls a function; says whether it was a typed call, and gives value and outcome.
    fn call(wasm: &[u8], name: &str, args: &[Value]) -> (bool, Value, Result<Value>) {
        let engine = Engine::default();
        let component = Component::new(&engine, wasm).unwrap();
        let mut store = Store::new(&engine, ());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let linker = Linker::new(&engine);
            let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
            let function = instance.get_func(&mut store, name).expect(name);
            let signature = Signature::of_component(name, &function.ty(&store));
            let arguments = signature.prepare(&Packed::from_values(args), 128 << 20).unwrap();
            let returned = signature
                .call(&function, store.as_context_mut(), &arguments)
                .await
                .unwrap();
            let value = returned.lift(&signature).unwrap().to_value().unwrap();
            let outcome = returned.outcome(&signature).and_then(|packed| packed.to_value());
            assert_eq!(returned.is_err(), outcome.is_err());
            (matches!(arguments, Arguments::Typed(..)), value, outcome)
        })
    }

    #[test]
    fn many_bytes_cross_as_bytes() {
        let many = 20 << 20;
        let (typed, value, outcome) = call(&types(), "make-bytes", &[Value::Int(many)]);
        let Value::Str(bytes) = &value else { panic!("{value:?}") };
        assert!(typed && bytes.len() == many as usize && bytes[257] == 1);
        assert_eq!(outcome.unwrap(), value);
        let (typed, value, _) = call(&types(), "count-bytes", &[value]);
        assert_eq!((typed, value), (true, Value::Int(many)));
        let (typed, value, _) = call(&types(), "echo-list-u8", &[Value::Str(vec![0, 255])]);
        assert_eq!((typed, value), (true, Value::Str(vec![0, 255])));
    }

    #[test]
    fn a_result_of_bytes_keeps_its_form() {
        let wasm = wat::parse_str(MAYBE).unwrap();
        let hello = || Value::from("hello");
        let (typed, value, outcome) = call(&wasm, "maybe", &[Value::from("x")]);
        assert_eq!(
            (typed, value, outcome.unwrap()),
            (true, Value::map([("ok", hello())]), hello())
        );
        let (typed, value, outcome) = call(&wasm, "maybe", &[Value::from("")]);
        assert_eq!((typed, value), (true, Value::map([("err", hello())])));
        assert_eq!(outcome.unwrap_err().message(), "hello");
        let (typed, value, _) = call(&wasm, "longer", &[hello(), Value::from("x")]);
        assert_eq!((typed, value), (true, Value::Int(1)));
    }

    #[test]
    fn other_arguments_take_the_other_way() {
        let array = Value::array([Value::Int(1), Value::Int(2)]);
        let (typed, value, _) = call(&types(), "count-bytes", &[array]);
        assert_eq!((typed, value), (false, Value::Int(2)));
        let (typed, value, _) = call(&types(), "add", &[Value::Int(1), Value::Int(2)]);
        assert_eq!((typed, value), (false, Value::Int(3)));
        let signature = Signature::new(
            "f",
            vec![("a".to_owned(), Shape::list(Shape::Int(Int::U8), None))],
            None,
        );
        let prepare = |value: Value, max| signature.prepare(&Packed::from_value(&value), max).unwrap_err();
        assert_eq!(
            prepare(Value::Nil, 100).message(),
            "argument 1: expected list<u8>, got nil"
        );
        let error = prepare(Value::Str(vec![0; 101]), 100);
        assert_eq!(error.kind(), crate::error::Kind::LimitExceeded);
    }
}
