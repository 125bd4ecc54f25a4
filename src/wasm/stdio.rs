//! The standard streams as WASI 0.3 reads and writes them. What they lead to is `wasi`'s business.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wasi::Output;
use crate::system::terminal::Terminal;

/// A wait that has begun and goes on from poll to poll.
#[derive(Default)]
struct Wait(Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>);

impl Wait {
    fn poll<F>(&mut self, cx: &mut Context<'_>, begin: impl FnOnce() -> F) -> Poll<()>
    where
        F: Future<Output = ()> + Send + Sync + 'static,
    {
        let wait = self.0.get_or_insert_with(|| Box::pin(begin()));
        ready!(wait.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}

/// Stdin of a terminal. All readers of it share what arrives.
pub struct Reader {
    terminal: Arc<Terminal>,
    wait: Wait,
}

impl Reader {
    pub fn new(terminal: Arc<Terminal>) -> Reader {
        let wait = Wait::default();
        Reader { terminal, wait }
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Reader { terminal, wait } = self.get_mut();
        loop {
            if let Some(bytes) = terminal.try_read(buffer.remaining())? {
                buffer.put_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            ready!(wait.poll(cx, || {
                let terminal = terminal.clone();
                async move { terminal.readable().await }
            }));
        }
    }
}

/// Stdout or stderr.
pub struct Writer {
    output: Output,
    wait: Wait,
}

impl Writer {
    pub fn new(output: Output) -> Writer {
        let wait = Wait::default();
        Writer { output, wait }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Writer { output, wait } = self.get_mut();
        loop {
            let taken = output.take(bytes)?;
            if taken > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            ready!(wait.poll(cx, || {
                let output = output.clone();
                async move { output.writable().await }
            }));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
