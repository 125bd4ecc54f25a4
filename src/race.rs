//! The first of two futures. Written out because tokio's `select!` would bring its procedural macros along.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Which of the two was first, and its output.
#[derive(Debug, PartialEq, Eq)]
pub enum First<A, B> {
    Left(A),
    Right(B),
}

/// Runs both until one is done; the left one when both are. The other is dropped.
pub async fn first<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(output) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(output));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[test]
    fn the_left_one_wins_a_tie() {
        let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(io.block_on(first(ready(1), ready(2))), First::Left(1));
        assert_eq!(io.block_on(first(pending::<()>(), ready(2))), First::Right(2));
    }
}
