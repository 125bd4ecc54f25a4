//! Calls whose lists travel as lists.
//!
//! The engine's dynamic values cost 32 bytes for each part of a list, each byte and each field of each record included,
//! and a string for each field's name. Functions that take or give whole lists, alone or next to a string or a number, are
//! therefore called through the engine's typed interface, with an [`Image`] of what goes in and a [`Viewed`] of what
//! comes out. Which forms are worth it is listed in [`Form`] and [`Signature::call`]; everything else, and every argument
//! that is not simply of the right kind, takes the way of dynamic values, whose errors are the only ones there are.

use wasmtime::component::{ComponentNamedList, Func, Lift, Lower, Val};
use wasmtime::{AsContextMut, StoreContextMut};

use super::Signature;
use super::image::Image;
use super::lift::check_room;
use super::lower::resolve;
use super::shape::{Int, Shape};
use super::view::Viewed;
use crate::error::Result;
use crate::value::{Item, Packed, Packer, Reader};

/// The lowered arguments of a call.
#[derive(Debug, PartialEq)]
pub enum Arguments {
    Values(Vec<Val>),
    Typed(Vec<Argument>, Form),
}

/// An argument of a typed call.
#[derive(Debug, PartialEq)]
pub enum Argument {
    List(Image),
    Text(String),
    Number(u32),
}

/// What a typed call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Nothing,
    Number,
    Text,
    List,
    /// `result<list<T>, string>`.
    ListOrText,
}

/// What a call returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Returned {
    Values(Vec<Val>),
    List(Packed),
    /// The `ok` of a result.
    OkList(Packed),
}

impl Form {
    /// None for a function that is not called with lists or for them.
    pub(super) fn of(params: &[(String, Shape)], result: Option<&Shape>) -> Option<Form> {
        let form = match result {
            None => Form::Nothing,
            Some(Shape::Int(Int::U32)) => Form::Number,
            Some(Shape::String) => Form::Text,
            Some(shape) if is_list(shape) => Form::List,
            Some(Shape::Result(arms)) => match (&arms.ok, &arms.err) {
                (Some(ok), Some(Shape::String)) if is_list(ok) => Form::ListOrText,
                _ => return None,
            },
            Some(_) => return None,
        };
        let gives_list = matches!(form, Form::List | Form::ListOrText);
        let takes_list = || params.iter().any(|(_, shape)| is_list(shape));
        (gives_list || takes_list()).then_some(form)
    }
}

/// A list of any length; a fixed one is no pointer in the guest.
fn is_list(shape: &Shape) -> bool {
    matches!(shape, Shape::List(_)) && shape.has_image()
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
        let form = self.form?;
        if args.len() != self.params.len() || args.size() as u64 > max_transfer {
            return None;
        }
        let mut reader = args.reader();
        let mut left = usize::try_from(max_transfer).unwrap_or(usize::MAX);
        let params = self.params.iter();
        let arguments = params.map(|(_, shape)| argument(shape, &mut reader, &mut left));
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
            [] => list(function, store, (), form).await,
            [Argument::Number(number)] => list(function, store, (*number,), form).await,
            [Argument::Text(text)] => list(function, store, (text.as_str(),), form).await,
            [Argument::List(one)] => any(function, store, (one,), form).await,
            [Argument::Text(text), Argument::List(one)] => any(function, store, (text.as_str(), one), form).await,
            [Argument::List(one), Argument::List(two)] => any(function, store, (one, two), form).await,
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

fn argument(shape: &Shape, reader: &mut Reader<'_>, left: &mut usize) -> Option<Argument> {
    let (item, mut there) = resolve(reader);
    match (shape, item) {
        (Shape::String, Item::Str(bytes)) => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(Argument::Text(text.to_owned()))
        }
        (Shape::Int(Int::U32), Item::Int(number)) => u32::try_from(number).ok().map(Argument::Number),
        (shape, item) if is_list(shape) => {
            let image = Image::of(shape, item, there.as_mut().unwrap_or(reader), left);
            image.map(Argument::List)
        }
        _ => None,
    }
}

/// Whether [`Signature::call`] lists these types.
fn is_callable(arguments: &[Argument]) -> bool {
    matches!(
        arguments,
        [] | [_] | [Argument::Text(_) | Argument::List(_), Argument::List(_)]
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
        Form::List | Form::ListOrText => return list(function, store, params, form).await,
        Form::Nothing => {
            typed::<T, P, ()>(function, store, params).await?;
            return Ok(Returned::Values(Vec::new()));
        }
        Form::Number => Val::U32(typed::<T, P, (u32,)>(function, store, params).await?.0),
        Form::Text => Val::String(typed::<T, P, (String,)>(function, store, params).await?.0),
    };
    Ok(Returned::Values(vec![value]))
}

/// A call that returns a list.
async fn list<T: Send + 'static, P: ComponentNamedList + Lower>(
    function: &Func,
    store: StoreContextMut<'_, T>,
    params: P,
    form: Form,
) -> wasmtime::Result<Returned> {
    match form {
        Form::List => {
            let (Viewed(list),) = typed::<T, P, (Viewed,)>(function, store, params).await?;
            Ok(Returned::List(list))
        }
        Form::ListOrText => {
            let (result,) = typed::<T, P, (std::result::Result<Viewed, String>,)>(function, store, params).await?;
            Ok(match result {
                Ok(Viewed(list)) => Returned::OkList(list),
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
    pub fn lift(self, signature: &Signature) -> Result<Packed> {
        match self {
            Returned::Values(values) => signature.lift(&values),
            Returned::List(list) => Ok(list),
            Returned::OkList(list) => in_ok(&list),
        }
    }

    /// The outcome of a process; see [`outcome`](Signature::outcome).
    ///
    /// # Errors
    /// As [`outcome`](Signature::outcome).
    pub fn outcome(self, signature: &Signature) -> Result<Packed> {
        match self {
            Returned::Values(values) => signature.outcome(&values),
            Returned::List(list) | Returned::OkList(list) => Ok(list),
        }
    }
}

/// `{ok = list}`.
fn in_ok(list: &Packed) -> Result<Packed> {
    let mut packer = Packer::new();
    check_room(&packer, list.size())?;
    let mark = packer.open(false);
    packer.str(b"ok");
    packer.packed(list);
    packer.close(mark, 0, 1);
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
            let value = returned.clone().lift(&signature).unwrap().to_value().unwrap();
            let is_err = returned.is_err();
            let outcome = returned.outcome(&signature).and_then(|packed| packed.to_value());
            assert_eq!(is_err, outcome.is_err());
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
    fn an_array_of_numbers_is_bytes_too() {
        let array = Value::array([Value::Int(1), Value::Int(2)]);
        let (typed, value, _) = call(&types(), "count-bytes", &[array]);
        assert_eq!((typed, value), (true, Value::Int(2)));
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
        let with_hole = Value::map([("n", Value::Int(1))]);
        let (typed, value, _) = call(&types(), "echo-list-option", std::slice::from_ref(&with_hole));
        assert_eq!((typed, format!("{value:?}")), (false, r#"{1: nil, "n": 1}"#.to_owned()));
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
