//! A session with a person: one process after the other, as long as the person wants, while Ctrl-C ends only what runs.

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::World;
use super::editor::{self, Ask, Line};
use super::reach::Reach;
use super::screen::Screen;
use crate::cli::console::Console;
use crate::cli::failure::{Failure, code};
use crate::cli::run::{beside, stop};
use crate::cli::signals::{Signal, Signals};
use crate::error::Error;
use crate::lock::lock;
use crate::lua::modules::repl::{Asked, Desk};
use crate::process::{Exit, Process};
use crate::race::{First, first};
use crate::system::terminal::Stream;

/// How long a stop may take without a word about it.
const PATIENCE: Duration = Duration::from_secs(1);

/// # Errors
/// When the session cannot be started, or there is no thread for the prompt.
pub fn run(world: &World, first: Option<String>, console: &Console) -> Result<u8, Failure> {
    console.terminal().remember();
    let (asks, asked) = channel();
    let (names, named) = channel();
    let desk = Arc::new(Prompt {
        asks: Mutex::new(asks),
        names: Mutex::new(names),
        process: Mutex::default(),
        quits: AtomicBool::new(false),
        busy: Arc::default(),
        asked: AtomicBool::new(false),
        reach: world.reach.clone(),
    });
    let counted = desk.clone();
    let line = Line {
        asks: asked,
        names: named,
        waiting: Box::new(move || counted.waiting()),
        ids: {
            let reach = world.reach.clone();
            Box::new(move || reach.ids())
        },
        terminal: console.terminal().clone(),
        screen: Screen::new(),
        first,
    };
    let failed = start_editor(line)?;
    world.runtime.block_on(converse(world, &desk, failed, console))
}

/// Resolves, with the reason, when the editor could not do its work.
type Failed = oneshot::Receiver<rustyline::error::ReadlineError>;

fn start_editor(line: Line) -> Result<Failed, Failure> {
    let (failed, failure) = oneshot::channel();
    let editor = std::thread::Builder::new().name("prompt".into());
    let started = editor.spawn(move || {
        if let Err(error) = editor::run(line) {
            // Nobody waits for it when the program ends.
            let _ = failed.send(error);
        }
    });
    started.map_err(|error| Failure::refused("cannot start the prompt", &error))?;
    Ok(failure)
}

/// How a session came to its end.
enum End {
    /// By itself: the person left it, or something ended its process.
    Exit(Arc<Exit>),
    Signal(Signal),
    /// The screen has gone.
    Unread,
    Editor(rustyline::error::ReadlineError),
}

async fn converse(world: &World, desk: &Arc<Prompt>, mut failed: Failed, console: &Console) -> Result<u8, Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::refused("cannot listen for signals", &error))?;
    beside(&world.runtime, &mut signals).await?;
    let result = loop {
        desk.asked.store(false, Ordering::SeqCst);
        let process = world.start(desk.clone())?;
        *lock(&desk.process) = Some(process.clone());
        match attend(&process, desk, &mut signals, &mut failed, console).await {
            End::Exit(exit) => match &exit.result {
                Ok(_) => break Ok(code::SUCCESS),
                Err(error) => {
                    let failure = Failure::process(&process.entry(), process.pid(), exit.cause, error);
                    if !desk.asked.load(Ordering::SeqCst) {
                        break Err(failure);
                    }
                    let failure = failure.help("the session has lost its variables; a new one begins");
                    console.say(&failure.to_text(console.paint(Stream::Err)));
                }
            },
            End::Signal(signal) => break Ok(signal.code()),
            End::Unread => break Ok(code::SUCCESS),
            End::Editor(error) => break Err(Failure::new(code::FAILED, Error::internal(error.to_string()))),
        }
    };
    first(stop(&world.runtime, &mut signals), tell_patience(console)).await;
    result
}

/// Says, where the stop takes a while, what can be done about it. Never resolves.
async fn tell_patience(console: &Console) {
    tokio::time::sleep(PATIENCE).await;
    console.say("waiting for processes to end; Ctrl-C ends them at once\n");
    pending().await
}

async fn attend(
    process: &Arc<Process>,
    desk: &Prompt,
    signals: &mut Signals,
    failed: &mut Failed,
    console: &Console,
) -> End {
    loop {
        let outside = first(
            signals.next(),
            first(console.terminal().hung_up(), editor_failed(failed)),
        );
        match first(process.exited(), outside).await {
            First::Left(exit) => return End::Exit(exit),
            First::Right(First::Left(Signal::Interrupt)) if desk.busy.load(Ordering::SeqCst) => process.interrupt(),
            First::Right(First::Left(Signal::Interrupt)) => {}
            First::Right(First::Left(signal)) => return End::Signal(signal),
            First::Right(First::Right(First::Left(()))) => return End::Unread,
            First::Right(First::Right(First::Right(error))) => return End::Editor(error),
        }
    }
}

/// Waits for ever when the editor ends well.
async fn editor_failed(failed: &mut Failed) -> rustyline::error::ReadlineError {
    match failed.await {
        Ok(error) => error,
        Err(_) => pending().await,
    }
}

/// The desk at which a person sits.
struct Prompt {
    asks: Mutex<Sender<Ask>>,
    names: Mutex<Sender<Vec<String>>>,
    /// The session.
    process: Mutex<Option<Arc<Process>>>,
    quits: AtomicBool,
    /// An input runs.
    busy: Arc<AtomicBool>,
    /// This process has come as far as asking for something to do.
    asked: AtomicBool,
    reach: Arc<Reach>,
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prompt")
    }
}

impl Prompt {
    fn waiting(&self) -> usize {
        lock(&self.process)
            .as_ref()
            .map_or(0, |process| process.mailbox().len())
    }
}

impl Desk for Prompt {
    fn next(&self) -> Asked {
        self.busy.store(false, Ordering::SeqCst);
        self.asked.store(true, Ordering::SeqCst);
        let (ask, answer) = oneshot::channel();
        // Without an editor there is no answer, and that is the end.
        let _ = lock(&self.asks).send(ask);
        let (busy, quits) = (self.busy.clone(), self.quits.load(Ordering::SeqCst));
        Box::pin(async move {
            let request = match quits {
                true => None,
                false => answer.await.ok().flatten(),
            };
            busy.store(true, Ordering::SeqCst);
            request
        })
    }

    fn reply(&self, names: Vec<String>) {
        // The editor has gone with the program.
        let _ = lock(&self.names).send(names);
    }

    fn quit(&self) {
        self.quits.store(true, Ordering::SeqCst);
    }

    fn reload(&self) -> crate::error::Result<String> {
        self.reach.reload()
    }

    fn inspect(&self, id: &str) -> crate::error::Result<String> {
        self.reach.inspect(id)
    }
}
