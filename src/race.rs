//! The first of two futures, and all of many. Written out because tokio's `select!` and `join!` would bring its procedural
//! macros along.

use std::future::poll_fn;
use std::pin::{Pin, pin};
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

/// Runs all of them until the last one is done, on the caller's own task.
pub async fn all(futures: impl IntoIterator<Item = impl Future<Output = ()>>) {
    let mut left: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|cx| {
        left.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if left.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[test]
    fn all_wait_for_the_last() {
        let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let waits = async { told.await.unwrap() };
        let tells = async { tell.send(()).unwrap() };
        let both: [Pin<Box<dyn Future<Output = ()>>>; 2] = [Box::pin(waits), Box::pin(tells)];
        io.block_on(all(both));
        io.block_on(all(std::iter::empty::<std::future::Ready<()>>()));
    }

    #[test]
    fn the_left_one_wins_a_tie() {
        let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(io.block_on(first(ready(1), ready(2))), First::Left(1));
        assert_eq!(io.block_on(first(pending::<()>(), ready(2))), First::Right(2));
    }
}
