//! Who may draw on the screen: the line that is being edited, or everything else.
//!
//! While a line is edited, output goes to the editor's printer, which draws it above the line. The printer may block when the
//! line is finished at that very moment; then only the courier thread waits, never the terminal's writer, and what it carries is
//! shown with the next line. Invariant: bytes are written in the order in which they came, one parcel at a time.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustyline::ExternalPrinter;

use crate::lock::lock;
use crate::system::terminal::Detour;

pub struct Screen {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// There is a courier.
    delivers: bool,
    editing: bool,
    parcel: Parcel,
    /// Nothing stands on the line where the cursor is.
    fresh: bool,
}

/// What is on its way through the editor.
enum Parcel {
    None,
    Ready(String),
    Underway,
}

impl Screen {
    pub fn new() -> Arc<Screen> {
        Arc::new(Screen {
            state: Mutex::new(State {
                delivers: false,
                editing: false,
                parcel: Parcel::None,
                fresh: true,
            }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// A line is read from now on; where nothing can be drawn above it, output goes its usual way meanwhile. False when the cursor stands behind an unfinished line.
    pub fn begin(&self) -> bool {
        let mut state = self.lock();
        state.editing = state.delivers;
        std::mem::replace(&mut state.fresh, true)
    }

    /// Whether lines can be edited here, and not only be typed.
    pub fn has_editor(&self) -> bool {
        self.lock().delivers
    }

    /// The line is finished.
    pub fn end(&self) {
        self.lock().editing = false;
        self.changed.notify_all();
    }

    /// The courier: carries what comes while a line is edited.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn deliver_through(self: &Arc<Self>, mut printer: impl ExternalPrinter + Send + 'static) -> io::Result<()> {
        let screen = self.clone();
        let courier = std::thread::Builder::new().name("courier".into());
        courier.spawn(move || {
            loop {
                let text = screen.next_parcel();
                // It fails when the terminal has gone, and then nobody misses it.
                let _ = printer.print(text);
                screen.lock().parcel = Parcel::None;
                screen.changed.notify_all();
            }
        })?;
        self.lock().delivers = true;
        Ok(())
    }

    fn next_parcel(&self) -> String {
        let mut state = self.lock();
        loop {
            match std::mem::replace(&mut state.parcel, Parcel::Underway) {
                Parcel::Ready(text) => return text,
                other => state.parcel = other,
            }
            state = self.wait(state);
        }
    }
}

impl Detour for Screen {
    fn write(&self, bytes: &[u8], direct: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        loop {
            if !state.editing {
                state.fresh = bytes.last().map_or(state.fresh, |last| *last == b'\n');
                return direct(bytes);
            }
            if matches!(state.parcel, Parcel::None) {
                state.parcel = Parcel::Ready(String::from_utf8_lossy(bytes).into_owned());
                self.changed.notify_all();
                return Ok(());
            }
            state = self.wait(state);
        }
    }
}
